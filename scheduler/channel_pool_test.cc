// SPDX-License-Identifier: Apache-2.0
#include "scheduler/channel_pool.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "scheduler/testing.h"

namespace ese {
namespace {

constexpr int kNone = ChannelPool::kNone;
const absl::Status kBroken = absl::InternalError("broken");

ChannelPool MakePool(const std::vector<std::string>& names) {
  std::vector<std::unique_ptr<Channel>> channels;
  for (const std::string& name : names) {
    channels.push_back(std::make_unique<PuppetChannel>(nullptr, name, 4));
  }
  return ChannelPool(std::move(channels));
}

ChannelPool MakePool(int n) {
  std::vector<std::string> names;
  for (int i = 0; i < n; ++i) names.push_back(absl::StrCat("puppet", i));
  return MakePool(names);
}

TimePoint At(Duration since_start) { return TimePoint(since_start); }

// Returns a pool whose channels have all passed their first test.
ChannelPool MakeTestedPool(int n) {
  ChannelPool pool = MakePool(n);
  for (int i = 0; i < n; ++i) pool.Pass(i);
  return pool;
}

TEST(ChannelPoolTest, NewChannelsAreTestedFirstAndCountAsWorking) {
  ChannelPool pool = MakePool(2);
  EXPECT_EQ(pool.Fastest(1), kNone);
  EXPECT_EQ(pool.working(), 2);
  EXPECT_EQ(pool.NextTest(), TimePoint::max());
  pool.Pass(1);
  EXPECT_EQ(pool.Fastest(1), 1);
}

TEST(ChannelPoolTest, PrefersTheLongestIdleOfEquallyFastChannels) {
  ChannelPool pool = MakeTestedPool(3);
  for (int i : {0, 1, 2}) {
    EXPECT_EQ(pool.Fastest(1), i);
    pool.Acquire(i);
  }
  EXPECT_EQ(pool.Fastest(1), kNone);
  pool.Release(1);
  pool.Release(0);
  EXPECT_EQ(pool.Fastest(1), 1);
}

TEST(ChannelPoolTest, PrefersTheFastestForTheGivenLanes) {
  ChannelPool pool = MakeTestedPool(2);
  pool.cost(0) = {.per_step_ns = 100};
  pool.cost(1) = {.per_frame_ns = 40};
  EXPECT_EQ(pool.Fastest(2), 1);
  EXPECT_EQ(pool.Fastest(3), 0);
  pool.cost(1).factor = 2;
  EXPECT_EQ(pool.Fastest(2), 0);
  EXPECT_EQ(pool.Fastest(100), 0) << "channel 0 has 4 lanes";
}

TEST(ChannelPoolTest, AFailureIsFollowedByATestAtOnceAndThenByIncreasingRests) {
  ChannelPool pool = MakeTestedPool(1);
  TimePoint now = At({});
  pool.Acquire(0);
  pool.Fail(0, kBroken, now);
  EXPECT_EQ(pool.Fastest(1), kNone);
  Duration rest = ChannelPool::kFirstRest;
  EXPECT_EQ(pool.StartTest(now), 0);
  for (int i = 0; i < 100; ++i) {
    pool.Fail(0, kBroken, now);
    ASSERT_EQ(pool.NextTest(), now + rest);
    EXPECT_EQ(pool.StartTest(now + rest - Duration(1)), kNone);
    now += rest;
    ASSERT_EQ(pool.StartTest(now), 0) << "the rest ends at exactly this time";
    rest = std::min(2 * rest, ChannelPool::kLongestRest);
  }
  EXPECT_EQ(rest, ChannelPool::kLongestRest);
  pool.Pass(0);
  pool.Acquire(0);
  pool.Fail(0, kBroken, now);
  EXPECT_EQ(pool.NextTest(), now + ChannelPool::kLongestRest)
      << "a passed test does not reset the rest";
  ASSERT_EQ(pool.StartTest(now + ChannelPool::kLongestRest), 0);
  pool.Pass(0);
  pool.Acquire(0);
  pool.Release(0);
  pool.Acquire(0);
  pool.Fail(0, kBroken, now);
  EXPECT_EQ(pool.NextTest(), now) << "a finished batch of streams does";
}

TEST(ChannelPoolTest, StopsWorkingAfterSeveralFailuresUntilItPassesATest) {
  ChannelPool pool = MakeTestedPool(2);
  TimePoint now = At({});
  pool.Acquire(0);
  for (int i = 1; i < ChannelPool::kFailuresToStop; ++i) {
    pool.Fail(0, kBroken, now);
    EXPECT_EQ(pool.working(), 2) << i;
    now = pool.NextTest();
    ASSERT_EQ(pool.StartTest(now), 0);
  }
  pool.Fail(0, kBroken, now);
  EXPECT_EQ(pool.working(), 1);
  EXPECT_EQ(pool.last_error(), kBroken);
  ASSERT_EQ(pool.StartTest(pool.NextTest()), 0);
  EXPECT_EQ(pool.working(), 1);
  pool.Pass(0);
  EXPECT_EQ(pool.working(), 2);
}

TEST(ChannelPoolTest, AHungChannelIsTestedOnceItsBatchEnds) {
  ChannelPool pool = MakeTestedPool(1);
  pool.Acquire(0);
  pool.Hang(0, kBroken);
  EXPECT_EQ(pool.working(), 0);
  EXPECT_EQ(pool.NextTest(), TimePoint::max());
  EXPECT_EQ(pool.Fastest(1), kNone);
  pool.Fail(0, kBroken, At({}));
  EXPECT_EQ(pool.StartTest(At({})), 0);
  pool.Pass(0);
  EXPECT_EQ(pool.working(), 1);
}

TEST(ChannelPoolTest, CapacityIsThatOfWorkingChannelsWithAllTheirLanes) {
  ChannelPool pool = MakeTestedPool(2);
  EXPECT_EQ(pool.Capacity(8), 0) << "the costs are not measured";
  pool.cost(0) = {.per_batch_ns = 800, .per_step_ns = 100, .per_frame_ns = 50};
  pool.cost(1) = {.per_frame_ns = 100};
  EXPECT_DOUBLE_EQ(pool.Capacity(8), 1e9 * 4 * 8 / (800 + 8 * 300) + 1e9 / 100);
  pool.Acquire(1);
  pool.Hang(1, kBroken);
  EXPECT_DOUBLE_EQ(pool.Capacity(8), 1e9 * 4 * 8 / (800 + 8 * 300));
}

// Two executors with two channels each, like the compute units of a card.
TEST(ChannelPoolTest, ChannelsThatShareAnExecutorCountItsCapacityOnce) {
  ChannelPool pool = MakePool({"a.0", "a.1", "b.0", "b.1"});
  for (int i = 0; i < 4; ++i) {
    pool.Pass(i);
    pool.cost(i) = {.per_frame_ns = i == 1 ? 50.0 : 100.0};
  }
  EXPECT_DOUBLE_EQ(pool.Capacity(8), 1e9 / 50 + 1e9 / 100)
      << "the capacity of the faster channel counts";
  pool.Acquire(1);
  pool.Hang(1, kBroken);
  EXPECT_DOUBLE_EQ(pool.Capacity(8), 2 * 1e9 / 100);
}

TEST(ChannelPoolTest, ABusyExecutorCountsAsSlower) {
  ChannelPool pool = MakePool({"a.0", "a.1", "b.0", "b.1"});
  for (int i = 0; i < 4; ++i) {
    pool.Pass(i);
    pool.cost(i) = {.per_frame_ns = i < 2 ? 60.0 : 100.0};
  }
  std::vector<int> order;
  for (int k = 0; k < 4; ++k) {
    order.push_back(pool.Fastest(1));
    pool.Acquire(order.back());
  }
  EXPECT_EQ(order, (std::vector<int>{0, 2, 1, 3}))
      << "the costs are 60, 100, 2 x 60 and 2 x 100 ns";
  pool.Release(0);
  pool.Fail(1, kBroken, At({}));
  pool.Release(2);
  EXPECT_EQ(pool.Fastest(1), 0) << "a channel that rests does not keep its executor busy";
}

}  // namespace
}  // namespace ese
