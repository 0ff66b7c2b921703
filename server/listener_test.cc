// SPDX-License-Identifier: Apache-2.0
#include "server/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/eventually.h"
#include "base/listen_address.h"
#include "ese/v1/speech.grpc.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#ifdef ESE_SANITIZED
// c-ares, which gRPC uses, leaks a few bytes when it cannot open a file for want of descriptors.
extern "C" const char* __lsan_default_suppressions() { return "leak:libcares.so"; }
#endif

namespace ese {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

// A gRPC server whose only connections are those of the listener.
class ListeningServer {
 public:
  explicit ListeningServer(ListenerOptions options) {
    options.retry = milliseconds(5);
    auto listener = Listener::Open(options, &metrics_);
    if (!listener.ok()) {
      ADD_FAILURE() << listener.status();
      std::abort();  // no test can continue
    }
    listener_ = *std::move(listener);
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    listener_->AddTo(builder, grpc::InsecureServerCredentials());
    server_ = builder.BuildAndStart();
    EXPECT_TRUE(listener_->Start().ok());
  }
  ~ListeningServer() {
    listener_->Stop();
    server_->Shutdown(std::chrono::system_clock::now());
  }

  const Listener& listener() const { return *listener_; }
  // Returns what the listener knows of the connection whose client has this socket.
  std::shared_ptr<Connection> Find(const UniqueFd& client) const {
    sockaddr_in address{};
    socklen_t size = sizeof(address);
    ::getsockname(client.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return listener_->FindConnection(absl::StrCat("ipv4:127.0.0.1:", ntohs(address.sin_port)));
  }

  // True if the server answers a call on a new connection.
  bool Answers() const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto channel = grpc::CreateCustomChannel(listener_->address(),
                                                   grpc::InsecureChannelCredentials(), arguments);
    return channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(30));
  }
  bool Shows(const std::string& metric) const {
    return metrics_.Render().find("\n" + metric + "\n") != std::string::npos;
  }
  // Connects the socket to the server, which must listen at 127.0.0.1.
  void Connect(const UniqueFd& socket) const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(ParseListenAddress(listener_->address())->port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }

 private:
  MetricsRegistry metrics_;
  v1::SpeechInference::Service service_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<grpc::Server> server_;
};

UniqueFd NewSocket() { return UniqueFd(::socket(AF_INET, SOCK_STREAM, 0)); }

bool HasIpv6() {
  const UniqueFd socket(::socket(AF_INET6, SOCK_STREAM, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  return ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

// Keeps the connection from making room for others.
void HoldStream(const ListeningServer& server, const UniqueFd& client) {
  const std::shared_ptr<Connection> connection = server.Find(client);
  ASSERT_NE(connection, nullptr);
  connection->CallBegan();
  connection->CallBecameUseful();
}

TEST(ListenerTest, ServesIpv4AndNames) {
  EXPECT_TRUE(ListeningServer({.address = "127.0.0.1:0"}).Answers());
  EXPECT_TRUE(ListeningServer({.address = "localhost:0"}).Answers());
}

TEST(ListenerTest, ServesIpv6) {
  if (!HasIpv6()) GTEST_SKIP() << "this machine has no IPv6";
  EXPECT_TRUE(ListeningServer({.address = "[::1]:0"}).Answers());
}

TEST(ListenerTest, ServesAUnixSocket) {
  const std::string path = absl::StrCat(testing::TempDir(), "ese_listener_", ::getpid());
  EXPECT_TRUE(ListeningServer({.address = "unix:" + path}).Answers());
}

TEST(ListenerTest, ClosesConnectionsBeyondTheMaximumAndRecovers) {
  const ListeningServer server({.address = "127.0.0.1:0", .max_connections = 2});
  UniqueFd first = NewSocket();
  server.Connect(first);
  const UniqueFd second = NewSocket();
  server.Connect(second);
  ASSERT_TRUE(Eventually([&] { return server.Shows("ese_connections 2"); }));
  HoldStream(server, first);
  HoldStream(server, second);
  EXPECT_TRUE(server.listener().accepting());
  const UniqueFd third = NewSocket();
  server.Connect(third);
  char byte = 0;
  EXPECT_LE(::recv(third.get(), &byte, 1, 0), 0);
  EXPECT_TRUE(Eventually([&] { return !server.listener().accepting(); }));
  EXPECT_TRUE(Eventually(
      [&] { return server.Shows("ese_connections_refused_total{reason=\"limit\"} 1"); }));
  EXPECT_TRUE(server.Shows("ese_listener_accepting 0"));
  first.Reset();
  EXPECT_TRUE(Eventually([&] { return server.listener().accepting(); }));
  EXPECT_TRUE(server.Answers());
}

TEST(ListenerTest, ClosesTheOldestIdleConnectionToMakeRoom) {
  const ListeningServer server({.address = "127.0.0.1:0", .max_connections = 3});
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(NewSocket());
    server.Connect(clients.back());
    ASSERT_TRUE(Eventually([&] { return server.Find(clients.back()) != nullptr; }));
  }
  HoldStream(server, clients[0]);
  server.Find(clients[1])->CallBegan();  // and waits for its config
  for (int i = 3; i < 5; ++i) {
    clients.push_back(NewSocket());
    server.Connect(clients.back());
    ASSERT_TRUE(Eventually([&] { return server.Find(clients.back()) != nullptr; }));
  }
  // First the connection without a call made room, then the next one without a call.
  EXPECT_EQ(server.Find(clients[2]), nullptr);
  EXPECT_EQ(server.Find(clients[3]), nullptr);
  EXPECT_NE(server.Find(clients[0]), nullptr);
  EXPECT_NE(server.Find(clients[1]), nullptr);
  // gRPC closes its descriptor too.
  char byte = 0;
  while (::recv(clients[2].get(), &byte, 1, 0) > 0) continue;
  // A call without a config makes room only if all connections have calls.
  HoldStream(server, clients[4]);
  clients.push_back(NewSocket());
  server.Connect(clients.back());
  EXPECT_TRUE(Eventually([&] { return server.Find(clients[5]) != nullptr; }));
  EXPECT_EQ(server.Find(clients[1]), nullptr);
  EXPECT_TRUE(server.listener().accepting());
  EXPECT_TRUE(server.Shows("ese_connections_closed_total{reason=\"room\"} 3"));
  EXPECT_TRUE(server.Shows("ese_connections 3"));
}

TEST(ListenerTest, KnowsAllPeersButThoseOfUnixSockets) {
  const std::string path = absl::StrCat(testing::TempDir(), "ese_peers_", ::getpid());
  const ListeningServer server({.address = "unix:" + path});
  EXPECT_TRUE(server.Answers());
  // All have this name.
  EXPECT_EQ(server.listener().FindConnection("unix:"), nullptr);
  EXPECT_EQ(server.listener().FindConnection(""), nullptr);
}

std::atomic<bool> g_held_up = false, g_let_go = false;

void HoldUp(int /*signal*/) {
  g_held_up = true;
  while (!g_let_go) ::usleep(1000);
}

// Returns the thread of this process with the name; 0 if there is none.
pid_t ThreadNamed(const std::string& name) {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string found;
    std::getline(std::ifstream(task.path() / "comm"), found);
    if (found == name) return std::stoi(task.path().filename());
  }
  return 0;
}

TEST(ListenerTest, NoticesThatAThreadHangs) {
  const ListeningServer server({.address = "127.0.0.1:0"});
  ::signal(SIGUSR1, HoldUp);
  for (const char* name : {"ese-listener", "ese-connections"}) {
    // A thread that works comes round within a second, and this test may be held up too.
    EXPECT_TRUE(server.listener().IsAlive(std::chrono::seconds(30)));
    pid_t thread = 0;
    ASSERT_TRUE(Eventually([&] { return (thread = ThreadNamed(name)) != 0; }));
    g_held_up = g_let_go = false;
    ASSERT_EQ(::syscall(SYS_tgkill, ::getpid(), thread, SIGUSR1), 0);
    ASSERT_TRUE(Eventually([&] { return g_held_up.load(); }));
    EXPECT_TRUE(Eventually([&] { return !server.listener().IsAlive(milliseconds(1500)); }));
    g_let_go = true;
    EXPECT_TRUE(Eventually([&] { return server.listener().IsAlive(milliseconds(1500)); }));
  }
  ::signal(SIGUSR1, SIG_DFL);
  EXPECT_TRUE(server.Answers());
}

TEST(ListenerTest, AcceptsAgainWhenThereAreDescriptorsAgain) {
  const ListeningServer server({.address = "127.0.0.1:0"});
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(NewSocket());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  for (const UniqueFd& client : clients) server.Connect(client);
  EXPECT_TRUE(Eventually([&] { return !server.listener().accepting(); }));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(Eventually([&] { return server.listener().accepting(); }));
  EXPECT_TRUE(server.Answers());
}

TEST(ListenerTest, RefusesMoreConnectionsThanDescriptorsAllow) {
  MetricsRegistry metrics;
  const absl::Status status =
      Listener::Open({.address = "127.0.0.1:0", .max_connections = 2'000'000'000}, &metrics)
          .status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--max-connections is 2000000000"));
}

TEST(RateLimitTest, AllowsABurstAndThenTheRate) {
  TimePoint now{};
  RateLimit rate(2, 2, now);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(rate.Allows(now));
    rate.Count();
  }
  EXPECT_FALSE(rate.Allows(now));
  now += milliseconds(500);
  EXPECT_TRUE(rate.Allows(now));
  rate.Count();
  EXPECT_FALSE(rate.Allows(now));
}

}  // namespace
}  // namespace ese
