// SPDX-License-Identifier: Apache-2.0
// Tests channels that fail batches or refuse them.
#include <chrono>
#include <memory>
#include <vector>

#include "base/fake_clock.h"
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
const absl::Status kUnplugged = absl::UnavailableError("unplugged");

// Longer than the sum of all rests until a channel counts as stopped.
constexpr Duration kUntilStopped = 2 * ChannelPool::kFirstRest;

TEST(SchedulerFaultTest, AFailedBatchRunsElsewhereFromTheSameStateWithTheSameResult) {
  TestRig rig(2);
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(2), absl::OkStatus());
  rig.puppet(0).Finish();
  ASSERT_EQ(a.Push(2), absl::OkStatus());
  ASSERT_TRUE(rig.puppet(1).busy());
  const StreamState* const state_in = rig.puppet(1).batch().lanes[0].state_in;
  rig.puppet(1).Fail(kBroken);
  EXPECT_TRUE(rig.Testing(1));
  ASSERT_TRUE(rig.puppet(0).busy());
  EXPECT_EQ(rig.puppet(0).batch().lanes[0].state_in, state_in);
  EXPECT_THAT(rig.LaneFrames(0), ElementsAre(2));
  rig.FinishAll();
  EXPECT_EQ(a.frames_done(), 4);  // RecordingStream has compared the logits
}

TEST(SchedulerFaultTest, AChannelThatFailedGetsStreamsOnlyAfterATest) {
  TestRig rig(2, /*max_lanes=*/1);
  RecordingStream a(&rig, 1), b(&rig, 2), c(&rig, 3);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  rig.clock.Advance(milliseconds(1));
  ASSERT_EQ(c.Push(1), absl::OkStatus());
  rig.puppet(0).Fail(kBroken);
  ASSERT_TRUE(rig.Testing(0));
  rig.puppet(1).Finish();
  EXPECT_THAT(rig.Lanes(1), ElementsAre(1)) << "a kept its deadline, so it precedes c";
  rig.PassTest(0);
  EXPECT_THAT(rig.Lanes(0), ElementsAre(3));
  rig.FinishAll();
  for (RecordingStream* s : {&a, &b, &c}) EXPECT_EQ(s->frames_done(), 1);
}

// The channel completes batches with OK but computes garbage.
TEST(SchedulerFaultTest, AChannelThatComputesWronglyFailsItsTest) {
  TestRig rig(2);
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  rig.puppet(0).Fail(kBroken);
  rig.puppet(0).Spoil();
  EXPECT_FALSE(rig.puppet(0).busy()) << "the channel should rest";
  rig.clock.Advance(ChannelPool::kFirstRest);
  rig.PassTest(0);
  rig.puppet(1).Finish();
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  EXPECT_THAT(rig.Lanes(0), ElementsAre(1)) << "this channel has been idle for longest";
  rig.FinishAll();
}

TEST(SchedulerFaultTest, ANewChannelThatComputesWronglyGetsNoStreams) {
  const auto model = RandomModel({.inputs = 3, .units = 5});
  FakeClock clock;
  std::vector<std::unique_ptr<Channel>> channels;
  channels.push_back(std::make_unique<PuppetChannel>(model, "puppet", 4));
  auto* const puppet = static_cast<PuppetChannel*>(channels[0].get());
  Scheduler scheduler(model, std::move(channels), {}, &clock, nullptr);
  auto stream = scheduler.Open({}, [](const StreamResult&) {});
  ASSERT_EQ(stream.status(), absl::OkStatus()) << "the test is not over";
  ASSERT_EQ((*stream)->Push({{1, 2, 3}}), absl::OkStatus());
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(puppet->busy());
    puppet->Spoil();
    clock.Advance(kUntilStopped);
  }
  EXPECT_EQ(scheduler.working_channels(), 0);
  EXPECT_EQ((*stream)->Push({{1, 2, 3}}).code(), absl::StatusCode::kUnavailable);
  stream->reset();
  if (puppet->busy()) puppet->Finish();
}

TEST(SchedulerFaultTest, AnErrorEndsTheStreamAfterMaxAttempts) {
  TestRig rig(1, 4, {.max_attempts = 2});
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  rig.puppet().Finish();
  ASSERT_EQ(a.Push(3), absl::OkStatus());
  rig.puppet().Fail(kBroken);
  rig.PassTest();
  ASSERT_TRUE(rig.puppet().busy());
  EXPECT_THAT(a.results, SizeIs(1));
  rig.puppet().Fail(kBroken);
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

TEST(SchedulerFaultTest, AFailureThatIsTheChannelsFaultDoesNotCountAsAnAttempt) {
  TestRig rig(1, 4, {.max_attempts = 1});
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  for (const absl::Status& error : {kUnplugged, absl::DataLossError("a bit flipped")}) {
    ASSERT_TRUE(rig.puppet().busy());
    rig.puppet().Fail(error);
    rig.clock.Advance(kUntilStopped);
    rig.PassTest();
  }
  rig.puppet().Finish();
  EXPECT_EQ(a.frames_done(), 1);
}

TEST(SchedulerFaultTest, SuccessResetsTheCountOfAttempts) {
  TestRig rig(1, 4, {.max_frames_per_lane = 1, .max_attempts = 2});
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(4), absl::OkStatus());
  for (int i = 0; i < 4; ++i) {
    rig.puppet().Fail(kBroken);
    rig.PassTest();
    rig.puppet().Finish();
  }
  EXPECT_EQ(a.frames_done(), 4);
}

TEST(SchedulerFaultTest, FramesPushedDuringAFailedBatchJoinTheRetry) {
  TestRig rig;
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(a.Push(2), absl::OkStatus());
  rig.puppet().Fail(kBroken);
  rig.PassTest();
  EXPECT_THAT(rig.LaneFrames(), ElementsAre(3));
  rig.puppet().Finish();
  EXPECT_EQ(a.frames_done(), 3);
}

TEST(SchedulerFaultTest, ARefusedBatchGoesElsewhereAtOnceAndDoesNotCountAsAnAttempt) {
  TestRig rig(2, 4, {.max_attempts = 1});
  RecordingStream a(&rig, 1), b(&rig, 2);
  rig.puppet(0).Refuse(kUnplugged);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  EXPECT_EQ(rig.puppet(0).refused(), 2) << "it refused the batch and a test";
  ASSERT_TRUE(rig.puppet(1).busy());
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  EXPECT_EQ(rig.puppet(0).refused(), 2) << "the channel should rest";
  rig.puppet(1).Finish();
  EXPECT_THAT(rig.Lanes(1), ElementsAre(2));
  rig.puppet(1).Finish();
  EXPECT_EQ(a.frames_done() + b.frames_done(), 2);
  EXPECT_THAT(rig.registry.Render(),
              HasSubstr("ese_batch_failures_total{channel=\"puppet0\",model=\"test\"} 1"));
}

TEST(SchedulerFaultTest, StreamsEndWithUnavailableWhenNoChannelWorks) {
  TestRig rig(2);
  for (PuppetChannel* puppet : rig.puppets) puppet->Refuse(kUnplugged);
  RecordingStream a(&rig, 1);
  EXPECT_EQ(a.Push(1), absl::OkStatus());
  EXPECT_THAT(a.results, SizeIs(0)) << "a channel may still recover";
  EXPECT_EQ(rig.scheduler->working_channels(), 2);
  rig.clock.Advance(ChannelPool::kFirstRest);
  ASSERT_THAT(a.results, SizeIs(1));
  EXPECT_EQ(a.results[0].status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(a.results[0].status.message(),
              AllOf(HasSubstr("none of the 2 channels"), HasSubstr("unplugged")));
  for (PuppetChannel* puppet : rig.puppets) {
    EXPECT_EQ(puppet->refused(), ChannelPool::kFailuresToStop) << "the scheduler must not spin";
  }
  const absl::Status refused = rig.scheduler->Open({}, [](const StreamResult&) {}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_GT(RetryAfter(refused).value_or(Duration(0)), Duration(0));
  EXPECT_EQ(rig.scheduler->working_channels(), 0);
  EXPECT_THAT(rig.registry.Render(), HasSubstr("ese_channels_working{model=\"test\"} 0"));
}

TEST(SchedulerFaultTest, ANewChannelCountsAsWorkingUntilItsTestDecides) {
  const auto model = RandomModel({});
  auto owned = std::make_unique<PuppetChannel>(model, "puppet", 2);
  PuppetChannel* const puppet = owned.get();
  std::vector<std::unique_ptr<Channel>> channels;
  channels.push_back(std::move(owned));
  FakeClock clock;
  MetricsRegistry registry;
  SchedulerMetrics metrics(&registry, {{"model", "m"}});
  const Scheduler scheduler(model, std::move(channels), {}, &clock, &metrics);
  EXPECT_EQ(scheduler.proven_channels(), 0);
  EXPECT_EQ(scheduler.working_channels(), 1);
  EXPECT_THAT(registry.Render(), HasSubstr("ese_channels_working{model=\"m\"} 1"));
  while (puppet->busy()) puppet->Finish();
  EXPECT_EQ(scheduler.proven_channels(), 1);
}

TEST(SchedulerFaultTest, AStoppedChannelReturnsWhenItWorksAgain) {
  TestRig rig;
  rig.puppet().Refuse(kUnplugged);
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  rig.clock.Advance(kUntilStopped);
  ASSERT_THAT(a.results, SizeIs(1));
  rig.puppet().Refuse(absl::OkStatus());
  EXPECT_EQ(rig.scheduler->working_channels(), 0);
  rig.clock.Advance(kUntilStopped);
  rig.PassTest();
  EXPECT_EQ(rig.scheduler->working_channels(), 1);
  RecordingStream b(&rig, 2);
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  rig.puppet().Finish();
  EXPECT_EQ(b.frames_done(), 1);
  EXPECT_THAT(rig.registry.Render(), HasSubstr("ese_channels_working{model=\"test\"} 1"));
}

// Streams that are waiting when the last working channel stops receive an error and are not
// forgotten.
TEST(SchedulerFaultTest, WaitingStreamsEndWhenTheLastChannelStops) {
  TestRig rig(1, /*max_lanes=*/1);
  RecordingStream a(&rig, 1), b(&rig, 2);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  rig.clock.Advance(milliseconds(1));
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  rig.puppet().Fail(kBroken);
  rig.puppet().Refuse(kUnplugged);
  rig.puppet().Fail(kBroken);  // the test
  rig.clock.Advance(kUntilStopped);
  for (RecordingStream* s : {&a, &b}) {
    ASSERT_THAT(s->results, SizeIs(1));
    EXPECT_EQ(s->results[0].status.code(), absl::StatusCode::kUnavailable);
  }
}

// INVALID_ARGUMENT from Submit would be a bug of the scheduler. Even then, streams must end.
TEST(SchedulerFaultTest, OtherRefusalsCountAsAttempts) {
  TestRig rig(2, 4, {.max_attempts = 2});
  for (PuppetChannel* puppet : rig.puppets) puppet->Refuse(absl::InvalidArgumentError("odd"));
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  EXPECT_THAT(a.results, SizeIs(0)) << "callbacks never run within Push";
  rig.clock.Advance(Duration(0));
  ASSERT_THAT(a.results, SizeIs(1));
  EXPECT_EQ(a.results[0].status.code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ese
