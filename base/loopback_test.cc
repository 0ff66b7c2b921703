// SPDX-License-Identifier: Apache-2.0
#include "base/loopback.h"

#include "gtest/gtest.h"

namespace ese {
namespace {

TEST(LoopbackTest, OnlyLoopbackAddressesAndPathsAreLocal) {
  for (const char* local : {"127.0.0.1:7700", "127.8.9.10:0", "[::1]:7700", "localhost:7700",
                            "unix:/run/ese.sock", "unix-abstract:ese"}) {
    EXPECT_TRUE(IsLocalAddress(local)) << local;
  }
  for (const char* other : {"0.0.0.0:7700", "[::]:7700", "192.0.2.1:7700", "128.0.0.1:1",
                            "no-such-host.invalid:7700", "nonsense", "*:7700"}) {
    EXPECT_FALSE(IsLocalAddress(other)) << other;
  }
}

}  // namespace
}  // namespace ese
