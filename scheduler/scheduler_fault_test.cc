// Channels that fail or refuse batches.
#include <chrono>
#include <latch>
#include <memory>
#include <vector>

#include "base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/channel_pool.h"
#include "scheduler/test_rig.h"

namespace ese {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const absl::Status kBroken = absl::InternalError("parity error");

TEST(SchedulerFaultTest, FailedBatchRunsElsewhereFromTheSameStateWithTheSameResult) {
  TestRig rig(2);
  TestStream a(&rig, 1);
  ASSERT_EQ(a.Push(2), absl::OkStatus());
  rig.puppet(0).Finish();
  ASSERT_EQ(a.Push(2), absl::OkStatus());
  ASSERT_TRUE(rig.puppet(1).busy());
  const StreamState* const state_in = rig.puppet(1).batch().lanes[0].state_in;
  rig.puppet(1).Fail(kBroken);
  EXPECT_FALSE(rig.puppet(1).busy());
  ASSERT_TRUE(rig.puppet(0).busy());
  EXPECT_EQ(rig.puppet(0).batch().lanes[0].state_in, state_in);
  EXPECT_THAT(rig.LaneFrames(0), ElementsAre(2));
  rig.puppet(0).Finish();
  EXPECT_EQ(a.frames_done(), 4);  // and TestStream compared the logits
}

TEST(SchedulerFaultTest, FailedStreamsWaitForABusyChannelInOrder) {
  TestRig rig(2, /*max_lanes=*/1);
  TestStream a(&rig, 1), b(&rig, 2), c(&rig, 3);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  rig.clock.Advance(milliseconds(1));
  ASSERT_EQ(c.Push(1), absl::OkStatus());
  rig.puppet(0).Fail(kBroken);
  EXPECT_FALSE(rig.puppet(0).busy()) << "it rests";
  rig.puppet(1).Finish();
  EXPECT_THAT(rig.Lanes(1), ElementsAre(1)) << "before c: it kept its deadline";
  rig.clock.Advance(ChannelPool::kFirstRest);
  TestStream d(&rig, 4);
  ASSERT_EQ(d.Push(1), absl::OkStatus());
  EXPECT_THAT(rig.Lanes(0), ElementsAre(3)) << "it has rested";
  while (rig.puppet(0).busy()) rig.puppet(0).Finish();
  while (rig.puppet(1).busy()) rig.puppet(1).Finish();
  for (TestStream* s : {&a, &b, &c, &d}) EXPECT_EQ(s->frames_done(), 1);
}

TEST(SchedulerFaultTest, ErrorEndsTheStreamAfterMaxAttempts) {
  TestRig rig(1, 4, {.max_attempts = 2});
  TestStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  rig.puppet().Finish();
  ASSERT_EQ(a.Push(3), absl::OkStatus());
  rig.puppet().Fail(kBroken);
  ASSERT_TRUE(rig.puppet().busy());
  EXPECT_THAT(a.results, SizeIs(1));
  rig.puppet().Fail(kBroken);
  EXPECT_FALSE(rig.puppet().busy());
  ASSERT_THAT(a.results, SizeIs(2));
  EXPECT_EQ(a.results[1].num_frames, 0);
  EXPECT_EQ(a.results[1].first_frame, 1);
  EXPECT_EQ(a.results[1].status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(a.results[1].status.message(),
              AllOf(HasSubstr("frames from 1 on"), HasSubstr("2 batches"), HasSubstr("parity")));
  EXPECT_EQ(a.Push(1), a.results[1].status);
  EXPECT_EQ(a.handle->room(), 0);
  EXPECT_FALSE(rig.puppet().busy());
}

TEST(SchedulerFaultTest, SuccessStartsTheCountOfAttemptsAnew) {
  TestRig rig(1, 4, {.max_frames_per_lane = 1, .max_attempts = 2});
  TestStream a(&rig, 1);
  ASSERT_EQ(a.Push(4), absl::OkStatus());
  for (int i = 0; i < 4; ++i) {
    rig.puppet().Fail(kBroken);
    rig.puppet().Finish();
  }
  EXPECT_EQ(a.frames_done(), 4);
}

TEST(SchedulerFaultTest, FramesPushedDuringAFailedBatchJoinTheRetry) {
  TestRig rig;
  TestStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(a.Push(2), absl::OkStatus());
  rig.puppet().Fail(kBroken);
  EXPECT_THAT(rig.LaneFrames(), ElementsAre(3));
  rig.puppet().Finish();
  EXPECT_EQ(a.frames_done(), 3);
}

TEST(SchedulerFaultTest, RefusedBatchGoesElsewhereAtOnceAndIsNoAttempt) {
  TestRig rig(2, 4, {.max_attempts = 1});
  TestStream a(&rig, 1), b(&rig, 2);
  rig.puppet(0).Refuse(absl::UnavailableError("unplugged"));
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  EXPECT_EQ(rig.puppet(0).refused(), 1);
  ASSERT_TRUE(rig.puppet(1).busy());
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  EXPECT_EQ(rig.puppet(0).refused(), 1) << "it rests";
  rig.puppet(1).Finish();
  EXPECT_THAT(rig.Lanes(1), ElementsAre(2));
  rig.puppet(1).Finish();
  EXPECT_EQ(a.frames_done() + b.frames_done(), 2);
  EXPECT_THAT(rig.registry.Render(),
              HasSubstr("ese_batch_failures_total{channel=\"puppet0\",model=\"test\"} 1"));
}

TEST(SchedulerFaultTest, StreamsEndWithUnavailableWhenNoChannelWorks) {
  TestRig rig(2);
  for (PuppetChannel* puppet : rig.puppets) puppet->Refuse(absl::UnavailableError("unplugged"));
  TestStream a(&rig, 1);
  std::latch done(1);
  a.hook = [&](const StreamResult&) { done.count_down(); };
  EXPECT_EQ(a.Push(1), absl::OkStatus());
  done.wait();
  ASSERT_THAT(a.results, SizeIs(1));
  EXPECT_EQ(a.results[0].status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(a.results[0].status.message(),
              AllOf(HasSubstr("all 2 channels of model"), HasSubstr("unplugged")));
  for (PuppetChannel* puppet : rig.puppets) {
    EXPECT_EQ(puppet->refused(), ChannelPool::kFailuresToStop) << "no spinning";
  }
  const absl::Status refused = rig.scheduler->Open({}, [](const StreamResult&) {}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_GT(RetryAfter(refused).value_or(Duration(0)), Duration(0));
  EXPECT_EQ(rig.scheduler->working_channels(), 0);
}

TEST(SchedulerFaultTest, StoppedChannelsAreTriedAgainAfterTheirRest) {
  TestRig rig;
  rig.puppet().Refuse(absl::UnavailableError("unplugged"));
  TestStream a(&rig, 1);
  TestStream b(&rig, 2);
  std::latch done(1);
  a.hook = [&](const StreamResult&) { done.count_down(); };
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  done.wait();
  rig.puppet().Refuse(absl::OkStatus());
  rig.clock.Advance(ChannelPool::kLongestRest);
  EXPECT_EQ(rig.scheduler->working_channels(), 1);
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  ASSERT_TRUE(rig.puppet().busy());
  rig.puppet().Finish();
  EXPECT_EQ(b.frames_done(), 1);
  EXPECT_EQ(rig.scheduler->Open({}, [](const StreamResult&) {}).status(), absl::OkStatus());
}

// Streams that wait while the last channel fails for the last time are told, not forgotten.
TEST(SchedulerFaultTest, WaitingStreamsEndWhenTheLastChannelStops) {
  TestRig rig(1, /*max_lanes=*/1, {.max_attempts = ChannelPool::kFailuresToStop});
  TestStream a(&rig, 1), b(&rig, 2);
  std::latch done(1);
  b.hook = [&](const StreamResult&) { done.count_down(); };
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  rig.clock.Advance(milliseconds(1));
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  for (int i = 0; i < ChannelPool::kFailuresToStop; ++i) rig.puppet().Fail(kBroken);
  EXPECT_EQ(a.results.at(0).status.code(), absl::StatusCode::kInternal);
  done.wait();
  EXPECT_EQ(b.results.at(0).status.code(), absl::StatusCode::kUnavailable);
}

// An INVALID_ARGUMENT of Submit would be our own mistake; it must end, too.
TEST(SchedulerFaultTest, OtherRefusalsCountAsAttempts) {
  TestRig rig(1, 4, {.max_attempts = 2});
  rig.puppet().Refuse(absl::InvalidArgumentError("odd"));
  TestStream a(&rig, 1);
  std::latch done(1);
  a.hook = [&](const StreamResult&) { done.count_down(); };
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  done.wait();
  EXPECT_EQ(a.results.at(0).status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rig.puppet().refused(), 2);
}

}  // namespace
}  // namespace ese
