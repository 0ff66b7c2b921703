// SPDX-License-Identifier: Apache-2.0
#include "load/vanish.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "load/testing.h"

namespace ese {
namespace {

using ::testing::IsEmpty;

TEST(VanishTest, ClientsVanish) {
  FakeServer server;
  const std::atomic<bool> stop{false};
  const absl::StatusOr<VanishReport> report = RunVanish(ShortRun(server), 40, stop);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->vanished, 40);
  EXPECT_THAT(report->errors, IsEmpty());
  for (const FakeServer::Call& call : server.calls()) EXPECT_LE(call.chunks, 1);
}

TEST(VanishTest, NoClientVanishesWithoutAServer) {
  const std::atomic<bool> stop{false};
  FakeServer server;
  LoadOptions options = ShortRun(server);
  options.addresses = {DeadAddress()};
  EXPECT_FALSE(RunVanish(options, 4, stop).ok());
}

}  // namespace
}  // namespace ese
