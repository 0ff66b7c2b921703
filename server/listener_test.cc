// SPDX-License-Identifier: Apache-2.0
#include "server/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

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

TEST(AcceptRateTest, AllowsABurstAndThenTheRate) {
  TimePoint now{};
  AcceptRate rate(2, now);
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
