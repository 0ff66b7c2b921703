// SPDX-License-Identifier: Apache-2.0
#include "base/listen_address.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

TEST(ListenAddressTest, SplitsHostAndPortAtTheLastColon) {
  const auto name = ParseListenAddress("localhost:7700");
  ASSERT_TRUE(name.ok());
  EXPECT_EQ(name->host, "localhost");
  EXPECT_EQ(name->port, 7700);
  const auto ipv6 = ParseListenAddress("[::1]:0");
  ASSERT_TRUE(ipv6.ok());
  EXPECT_EQ(ipv6->host, "[::1]");
  EXPECT_EQ(ipv6->port, 0);
  EXPECT_TRUE(ParseListenAddress("127.0.0.1:65535").ok());
}

TEST(ListenAddressTest, RefusesOtherText) {
  for (const char* bad : {"", ":", "7700", ":7700", "host:", "host:x", "host:-1", "host:65536",
                          "::1:7700", "host:77 00"}) {
    EXPECT_EQ(ParseListenAddress(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(ListenAddressTest, NamesAPortThatIsInUse) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  socklen_t size = sizeof(address);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  const absl::Status status = Listen({"127.0.0.1", ntohs(address.sin_port)}).status();
  ::close(fd);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("Address already in use"));
}

TEST(ListenAddressTest, AcceptsAFreePort) {
  const absl::StatusOr<int> fd = Listen({"127.0.0.1", 0});
  ASSERT_TRUE(fd.ok()) << fd.status();
  ::close(*fd);
}

}  // namespace
}  // namespace ese
