// SPDX-License-Identifier: Apache-2.0
#include "metrics/http_server.h"

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/eventually.h"
#include "base/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "metrics/test_http.h"

namespace ese {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kRequest[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

// Too large for the buffers of a socket.
std::string LargePage() { return std::string(16 << 20, 'x') + "end\n"; }

std::unique_ptr<HttpServer> StartServer(std::function<std::string()> render,
                                        Clock* clock = Clock::Real()) {
  auto server = HttpServer::Start("127.0.0.1:0", std::move(render), clock);
  EXPECT_EQ(server.status(), absl::OkStatus());
  return std::move(*server);
}

// Returns a connection whose client has sent a request and read the first byte of the answer.
int StartAnswer(const std::string& address) {
  const int fd = ConnectToLoopback(address);
  Send(fd, kRequest);
  char byte = 0;
  EXPECT_EQ(read(fd, &byte, 1), 1);
  return fd;
}

bool Closed(int fd) {
  char byte = 0;
  return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

TEST(HttpServerTest, SilentConnectionsDoNotDelayAScrape) {
  FakeClock clock;  // so that none is closed for being late
  const auto server = StartServer([] { return "page\n"; }, &clock);
  std::vector<int> silent(200);
  for (int& fd : silent) fd = ConnectToLoopback(server->address());
  EXPECT_THAT(HttpGet(server->address(), "/metrics"), EndsWith("\r\n\r\npage\n"));
  // The scrape and the youngest silent connections are left.
  const size_t closed = silent.size() - (HttpServer::kMaxConnections - 1);
  for (size_t i = 0; i < silent.size(); ++i) EXPECT_EQ(Closed(silent[i]), i < closed) << i;
  for (const int fd : silent) close(fd);
}

TEST(HttpServerTest, SilentConnectionsDoNotDisplaceAnAnswer) {
  FakeClock clock;
  const auto server = StartServer(LargePage, &clock);
  const int scraper = StartAnswer(server->address());
  std::vector<int> silent(200);
  for (int& fd : silent) fd = ConnectToLoopback(server->address());
  EXPECT_THAT(HttpGet(server->address(), "/metrics"), EndsWith("end\n"));
  shutdown(scraper, SHUT_WR);  // so that the server closes the connection after its answer
  EXPECT_THAT(ReadAll(scraper), EndsWith("end\n"));
  close(scraper);
  for (const int fd : silent) close(fd);
}

TEST(HttpServerTest, ClientsThatDoNotReadDoNotDelayAScrape) {
  FakeClock clock;
  const auto server = StartServer(LargePage, &clock);
  std::vector<int> slow(2 * HttpServer::kMaxConnections);
  for (int& fd : slow) {
    fd = ConnectToLoopback(server->address());
    Send(fd, kRequest);
  }
  EXPECT_THAT(HttpGet(server->address(), "/metrics"), EndsWith("end\n"));
  for (const int fd : slow) close(fd);
}

TEST(HttpServerTest, ReadersShareAPageForTenTimesItsCost) {
  FakeClock clock;
  constexpr Duration kCost = std::chrono::milliseconds(20);
  std::atomic<int> renders = 0;
  const auto server = StartServer(
      [&] {
        clock.Advance(kCost);
        return absl::StrCat("page ", ++renders, "\n");
      },
      &clock);
  EXPECT_THAT(HttpGet(server->address(), "/metrics"), EndsWith("page 1\n"));
  clock.Advance(10 * kCost - Duration(1));
  EXPECT_THAT(HttpGet(server->address(), "/metrics"), EndsWith("page 1\n"));
  clock.Advance(Duration(1));
  EXPECT_THAT(HttpGet(server->address(), "/metrics"), EndsWith("page 2\n"));
}

TEST(HttpServerTest, APageThatCostsMuchIsAtMostASecondOld) {
  FakeClock clock;
  std::atomic<int> renders = 0;
  const auto server = StartServer(
      [&] {
        clock.Advance(std::chrono::seconds(3));
        return absl::StrCat("page ", ++renders, "\n");
      },
      &clock);
  EXPECT_THAT(HttpGet(server->address(), "/metrics"), EndsWith("page 1\n"));
  clock.Advance(SharedPage::kMaxAge);
  EXPECT_THAT(HttpGet(server->address(), "/metrics"), EndsWith("page 2\n"));
}

TEST(HttpServerTest, SlowReadersHoldFewPages) {
  FakeClock clock;
  std::atomic<int> renders = 0;
  const auto server = StartServer(
      [&] {
        ++renders;
        return LargePage();
      },
      &clock);
  std::vector<int> slow(20);
  for (int& fd : slow) {
    fd = StartAnswer(server->address());
    clock.Advance(SharedPage::kMaxAge / 10);
  }
  // Five are rendered in the first half second, and one when the last of them is a second old.
  EXPECT_EQ(renders, SharedPage::kMaxPages + 2);
  for (const int fd : slow) close(fd);
}

TEST(HttpServerTest, ARequestThatDripsInIsLate) {
  FakeClock clock;
  const auto server = StartServer([] { return "page\n"; }, &clock);
  const int fd = ConnectToLoopback(server->address());
  Send(fd, "GET /metrics HTTP/1.1\r\nX: ");
  for (int i = 0; i < 9; ++i) {
    HttpGet(server->address(), "/metrics");  // makes the server look at the connection
    clock.Advance(HttpServer::kTimeLimit / 10);
    Send(fd, "x");
  }
  HttpGet(server->address(), "/metrics");
  EXPECT_FALSE(Closed(fd));
  clock.Advance(HttpServer::kTimeLimit / 10);
  Send(fd, "x");
  EXPECT_EQ(ReadAll(fd), "");
  close(fd);
}

TEST(HttpServerTest, AnAnswerThatIsNotReadIsLate) {
  FakeClock clock;
  const auto server = StartServer(LargePage, &clock);
  const int fd = StartAnswer(server->address());
  clock.Advance(HttpServer::kTimeLimit);
  HttpGet(server->address(), "/metrics");
  EXPECT_THAT(ReadAll(fd), Not(EndsWith("end\n")));
  close(fd);
}

TEST(HttpServerTest, EachRequestOfAConnectionHasItsOwnTime) {
  FakeClock clock;
  const auto server = StartServer([] { return "page\n"; }, &clock);
  const int fd = ConnectToLoopback(server->address());
  for (int i = 0; i < 5; ++i) {
    Send(fd, kRequest);
    std::string answer;
    char buffer[256];
    while (!answer.ends_with("page\n")) {
      const ssize_t n = read(fd, buffer, sizeof(buffer));
      ASSERT_GT(n, 0);
      answer.append(buffer, n);
    }
    clock.Advance(HttpServer::kTimeLimit / 2);
  }
  close(fd);
}

// Counts how often the server looks at the time, which it does for every event.
class CountingClock final : public Clock {
 public:
  TimePoint Now() const override {
    ++looks_;
    return Clock::Real()->Now();
  }
  std::unique_ptr<Alarm> MakeAlarm(std::function<void()> ring) override {
    return Clock::Real()->MakeAlarm(std::move(ring));
  }
  int looks() const { return looks_; }

 private:
  mutable std::atomic<int> looks_ = 0;
};

TEST(HttpServerTest, NeitherSpinsNorStopsWithoutDescriptors) {
#ifdef ESE_SANITIZED
  GTEST_SKIP() << "UBSan needs descriptors to check objects";
#endif
  CountingClock clock;
  const auto server = StartServer([] { return "page\n"; }, &clock);
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const int lowest_free = dup(fd);
  close(lowest_free);
  rlimit none = old;
  none.rlim_cur = static_cast<rlim_t>(lowest_free);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const int looks = clock.looks();
  const TimePoint start = Clock::Real()->Now();
  ConnectToLoopback(fd, server->address());
  Send(fd, "GET /metrics HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(Eventually([&] { return Clock::Real()->Now() - start > 3 * HttpServer::kPause; }));
  const auto pauses = (Clock::Real()->Now() - start) / HttpServer::kPause;
  const int more_looks = clock.looks() - looks;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
  EXPECT_GT(more_looks, 0);
  EXPECT_LT(more_looks, 20 * (pauses + 1));
  EXPECT_THAT(ReadAll(fd), EndsWith("page\n"));
  close(fd);
}

TEST(HttpServerTest, RefusesLargeRequests) {
  const auto server = StartServer([] { return "page\n"; });
  EXPECT_THAT(HttpGet(server->address(), absl::StrCat("/metrics?", std::string(20000, 'x'))),
              StartsWith("HTTP/1.1 414 "));
  EXPECT_THAT(
      Exchange(server->address(), absl::StrCat("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ",
                                               std::string(20000, 'x'), "\r\n\r\n")),
      StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(HttpGet(server->address(), "/metrics"), StartsWith("HTTP/1.1 200 "));
}

TEST(HttpServerTest, RefusesOtherMethods) {
  const auto server = StartServer([] { return "page\n"; });
  EXPECT_THAT(Exchange(server->address(), "DELETE /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"),
              StartsWith("HTTP/1.1 405 "));
}

TEST(HttpServerTest, ClosesTheConnectionOfARequestWithABody) {
  const auto server = StartServer([] { return "page\n"; });
  // The body must not pass for a second request.
  EXPECT_EQ(Exchange(server->address(),
                     absl::StrCat("GET /metrics HTTP/1.1\r\nHost: localhost\r\n",
                                  "Content-Length: ", sizeof(kRequest) - 1, "\r\n\r\n", kRequest)),
            "");
  EXPECT_EQ(Exchange(server->address(),
                     "GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "");
  EXPECT_THAT(HttpGet(server->address(), "/metrics"), EndsWith("page\n"));
}

TEST(HttpServerTest, AnswersHeadWithoutThePage) {
  const auto server = StartServer([] { return "page\n"; });
  EXPECT_THAT(Exchange(server->address(), "HEAD /metrics HTTP/1.0\r\n\r\n"), EndsWith("\r\n\r\n"));
}

TEST(HttpServerTest, ServesIpv6) {
  const auto server = HttpServer::Start("[::1]:0", [] { return "page\n"; });
  ASSERT_EQ(server.status(), absl::OkStatus());
  const int fd = socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(static_cast<uint16_t>(std::stoi((*server)->address().substr(6))));
  to.sin6_addr = in6addr_loopback;
  ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  Send(fd, "GET /metrics HTTP/1.0\r\n\r\n");
  EXPECT_THAT(ReadAll(fd), EndsWith("page\n"));
  close(fd);
}

TEST(HttpServerTest, ServesAUnixSocket) {
  const std::string path = absl::StrCat(testing::TempDir(), "ese_metrics_", getpid());
  const auto server = HttpServer::Start("unix:" + path, [] { return "page\n"; });
  ASSERT_EQ(server.status(), absl::OkStatus());
  EXPECT_EQ((*server)->address(), "unix:" + path);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  path.copy(to.sun_path, sizeof(to.sun_path) - 1);
  ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  Send(fd, "GET /metrics HTTP/1.0\r\n\r\n");
  EXPECT_THAT(ReadAll(fd), EndsWith("page\n"));
  close(fd);
}

TEST(HttpServerTest, ServesTheOperatorPageToThisMachine) {
  for (const OperatorPage page : {OperatorPage::kLocal, OperatorPage::kAll}) {
    const auto server = HttpServer::Start(
        "127.0.0.1:0", [] { return "page\n"; }, Clock::Real(), page);
    ASSERT_EQ(server.status(), absl::OkStatus());
    const std::string html = HttpGet((*server)->address(), "/");
    EXPECT_THAT(html, StartsWith("HTTP/1.1 200"));
    EXPECT_THAT(html, HasSubstr("Content-Security-Policy: default-src 'none'; script-src 'self'"));
    EXPECT_THAT(html, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
    EXPECT_THAT(html, EndsWith("</html>\n"));
    EXPECT_THAT(HttpGet((*server)->address(), "/operator_page.css"), HasSubstr("text/css"));
    EXPECT_THAT(HttpGet((*server)->address(), "/operator_page.js"), HasSubstr("text/javascript"));
    EXPECT_THAT(HttpGet((*server)->address(), "/other"), StartsWith("HTTP/1.1 404"));
    EXPECT_THAT(HttpGet((*server)->address(), "/metrics"), EndsWith("\r\n\r\npage\n"));
  }
}

TEST(HttpServerTest, ServesNoOperatorPageUnlessAskedTo) {
  const auto server = StartServer([] { return "page\n"; });
  EXPECT_THAT(HttpGet(server->address(), "/"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(HttpGet(server->address(), "/operator_page.js"), StartsWith("HTTP/1.1 404"));
}

}  // namespace
}  // namespace ese
