// SPDX-License-Identifier: Apache-2.0
#include "process/reload_registry.h"

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/eventually.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::ElementsAre;

TEST(ReloadRegistry, ReloadsInOrderAndGoesOnAfterAnError) {
  std::vector<std::string> done;
  std::atomic<bool> ended = false;
  ReloadRegistry registry([&] { done.push_back("begin"); }, [&] { ended = true; });
  registry.Add("first", [&] {
    done.push_back("first");
    return absl::NotFoundError("gone");
  });
  registry.Add("second", [&] {
    done.push_back("second");
    return absl::OkStatus();
  });
  registry.Request();
  ASSERT_TRUE(Eventually([&] { return ended.load(); }));
  registry.Stop();
  EXPECT_THAT(done, ElementsAre("begin", "first", "second"));
}

TEST(ReloadRegistry, RequestsDuringARoundAreOneMoreRound) {
  std::atomic<int> rounds = 0;
  std::atomic<bool> go_on = false;
  ReloadRegistry registry;
  registry.Add("it", [&] {
    ++rounds;
    EXPECT_TRUE(Eventually([&] { return go_on.load(); }));
    return absl::OkStatus();
  });
  registry.Request();
  ASSERT_TRUE(Eventually([&] { return rounds == 1; }));
  registry.Request();
  registry.Request();
  go_on = true;
  ASSERT_TRUE(Eventually([&] { return rounds == 2; }));
  registry.Stop();
  EXPECT_EQ(rounds, 2);
}

TEST(ReloadRegistry, DoesNothingAfterStop) {
  ReloadRegistry registry;
  registry.Add("it", [] {
    ADD_FAILURE();
    return absl::OkStatus();
  });
  registry.Stop();
  registry.Request();
}

}  // namespace
}  // namespace ese
