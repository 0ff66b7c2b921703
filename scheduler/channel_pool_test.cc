#include "scheduler/channel_pool.h"

#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "scheduler/testing.h"

namespace ese {
namespace {

constexpr int kNone = ChannelPool::kNone;
const absl::Status kBroken = absl::InternalError("broken");

ChannelPool MakePool(int n) {
  std::vector<std::unique_ptr<Channel>> channels;
  for (int i = 0; i < n; ++i) {
    channels.push_back(std::make_unique<PuppetChannel>(nullptr, "puppet", 4));
  }
  return ChannelPool(std::move(channels));
}

TimePoint At(Duration since_start) { return TimePoint(since_start); }

// Acquires channel `i` and releases it with an error, at once.
void FailOnce(ChannelPool* pool, int i, TimePoint now) {
  ASSERT_EQ(pool->Acquire(now), i);
  pool->Release(i, kBroken, now);
}

TEST(ChannelPoolTest, LongestIdleFirst) {
  ChannelPool pool = MakePool(3);
  EXPECT_EQ(pool.Acquire(At({})), 0);
  EXPECT_EQ(pool.Acquire(At({})), 1);
  EXPECT_EQ(pool.Acquire(At({})), 2);
  EXPECT_EQ(pool.Acquire(At({})), kNone);
  pool.Release(1, absl::OkStatus(), At({}));
  pool.Release(0, absl::OkStatus(), At({}));
  EXPECT_EQ(pool.Acquire(At({})), 1);
  EXPECT_EQ(pool.Acquire(At({})), 0);
}

TEST(ChannelPoolTest, FailedChannelRestsWhileAnotherIsInOrder) {
  ChannelPool pool = MakePool(2);
  FailOnce(&pool, 0, At({}));
  const TimePoint end = At(ChannelPool::kFirstRest);
  EXPECT_EQ(pool.Acquire(end - Duration(1)), 1);
  EXPECT_EQ(pool.Acquire(end - Duration(1)), kNone) << "busy, but in order: wait for it";
  EXPECT_EQ(pool.Acquire(end), 0) << "the rest ends exactly here";
}

TEST(ChannelPoolTest, RestDoublesUpToALimitAndSuccessEndsIt) {
  ChannelPool pool = MakePool(1);
  TimePoint now = At({});
  FailOnce(&pool, 0, now);
  EXPECT_EQ(pool.Rest(0), ChannelPool::kFirstRest);
  FailOnce(&pool, 0, now);
  EXPECT_EQ(pool.Rest(0), 2 * ChannelPool::kFirstRest);
  for (int i = 0; i < 100; ++i) {
    now += pool.Rest(0);
    FailOnce(&pool, 0, now);
  }
  EXPECT_EQ(pool.Rest(0), ChannelPool::kLongestRest);
  now += pool.Rest(0);
  ASSERT_EQ(pool.Acquire(now), 0);
  pool.Release(0, absl::OkStatus(), now);
  EXPECT_EQ(pool.Rest(0), Duration(0));
  EXPECT_EQ(pool.Acquire(now), 0);
}

TEST(ChannelPoolTest, LastChannelTriesAtOnceUntilItStops) {
  ChannelPool pool = MakePool(1);
  for (int i = 0; i < ChannelPool::kFailuresToStop; ++i) {
    EXPECT_GT(pool.working(At({})), 0);
    FailOnce(&pool, 0, At({}));
  }
  EXPECT_EQ(pool.working(At({})), 0);
  EXPECT_EQ(pool.Acquire(At({})), kNone);
  EXPECT_EQ(pool.last_error(), kBroken);
  const TimePoint rested = At(pool.Rest(0));
  EXPECT_GT(pool.working(rested), 0);
  EXPECT_EQ(pool.Acquire(rested), 0);
}

TEST(ChannelPoolTest, OneBatchOnTrialKeepsAPoolFromBeingStopped) {
  ChannelPool pool = MakePool(1);
  for (int i = 0; i < ChannelPool::kFailuresToStop; ++i) FailOnce(&pool, 0, At({}));
  const TimePoint rested = At(pool.Rest(0));
  ASSERT_EQ(pool.Acquire(rested), 0);
  EXPECT_GT(pool.working(rested), 0) << "its outcome is awaited";
  pool.Release(0, kBroken, rested);
  EXPECT_EQ(pool.working(rested), 0);
}

TEST(ChannelPoolTest, StoppedChannelRestsThoughTheOthersFailToo) {
  ChannelPool pool = MakePool(2);
  FailOnce(&pool, 0, At({}));
  FailOnce(&pool, 1, At({}));
  // Both rest, neither has stopped: they take turns.
  FailOnce(&pool, 0, At({}));
  FailOnce(&pool, 1, At({}));
  FailOnce(&pool, 0, At({}));
  EXPECT_GT(pool.working(At({})), 0);
  FailOnce(&pool, 1, At({}));
  EXPECT_EQ(pool.working(At({})), 0);
  EXPECT_EQ(pool.Acquire(At({})), kNone);
}

}  // namespace
}  // namespace ese
