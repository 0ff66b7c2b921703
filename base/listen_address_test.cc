// SPDX-License-Identifier: Apache-2.0
#include "base/listen_address.h"

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

}  // namespace
}  // namespace ese
