// SPDX-License-Identifier: Apache-2.0
// Tests channels that do not finish their batches in time.
#include <chrono>
#include <memory>
#include <vector>

#include "base/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/channel_pool.h"
#include "scheduler/test_rig.h"

namespace ese {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const absl::Status kBroken = absl::InternalError("parity error");

TEST(SchedulerWatchdogTest, AnOverdueBatchRunsElsewhereAndItsLateEndDoesNoHarm) {
  TestRig rig(2);
  RecordingStream a(&rig, 1), b(&rig, 2);
  ASSERT_EQ(a.Push(2), absl::OkStatus());
  rig.puppet(0).Finish();
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  rig.puppet(1).Finish();
  ASSERT_EQ(a.Push(2), absl::OkStatus());
  ASSERT_EQ(b.Push(2), absl::OkStatus());
  ASSERT_TRUE(rig.puppet(0).busy() && rig.puppet(1).busy());
  rig.puppet(1).Finish();  // b
  rig.clock.Advance(seconds(2) - Duration(1));
  EXPECT_FALSE(rig.puppet(1).busy());
  rig.clock.Advance(Duration(1));
  EXPECT_THAT(rig.Lanes(1), ElementsAre(1)) << "it is overdue at exactly this time";
  EXPECT_EQ(rig.scheduler->working_channels(), 1);
  const StreamState* const late_in = rig.puppet(0).batch().lanes[0].state_in;
  EXPECT_NE(rig.puppet(1).batch().lanes[0].state_in, late_in);
  EXPECT_NE(rig.puppet(1).batch().lanes[0].state_out, rig.puppet(0).batch().lanes[0].state_out);
  rig.puppet(1).Finish();
  EXPECT_EQ(a.frames_done(), 4);
  ASSERT_EQ(a.Push(3), absl::OkStatus());
  EXPECT_THAT(rig.Lanes(1), ElementsAre(1));
  rig.puppet(0).Finish();  // ends late and uses only its own buffers
  rig.puppet(1).Finish();
  EXPECT_EQ(a.frames_done(), 7);
  rig.PassTest(0);
  EXPECT_EQ(rig.scheduler->working_channels(), 2);
  EXPECT_THAT(rig.registry.Render(),
              HasSubstr("ese_batch_overruns_total{channel=\"puppet0\",model=\"test\"} 1"));
}

TEST(SchedulerWatchdogTest, ALateFailureDoesNotFailTheStreams) {
  TestRig rig(2, 4, {.max_attempts = 2});
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  rig.clock.Advance(seconds(2));
  ASSERT_TRUE(rig.puppet(1).busy());
  rig.puppet(0).Fail(kBroken);
  rig.puppet(1).Finish();
  EXPECT_EQ(a.frames_done(), 1);
  rig.PassTest(0);
}

// The overdue batch reads the state that the stream has after the previous result.
TEST(SchedulerWatchdogTest, AStreamKeepsItsStateWhenTheNextBatchIsGivenUp) {
  TestRig rig(2, 4, {.max_frames_per_lane = 1});
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(2), absl::OkStatus());
  bool first = true;
  a.hook = [&](const StreamResult& result) {
    if (!std::exchange(first, false)) return;
    ASSERT_TRUE(rig.puppet(1).busy());
    const StreamSnapshot before = a.handle->Snapshot();
    const std::vector<int32_t> logits(result.logits.begin(), result.logits.end());
    rig.clock.Advance(seconds(2));
    rig.puppet(1).Fail(kBroken);  // ends late and writes garbage
    const StreamSnapshot after = a.handle->Snapshot();
    EXPECT_EQ(before.frame, 1);
    EXPECT_EQ(after.frame, 1);
    EXPECT_TRUE(SameState(after.state, before.state));
    rig.puppet(0).Finish();
    EXPECT_EQ(logits, std::vector<int32_t>(result.logits.begin(), result.logits.end()));
  };
  rig.puppet(0).Finish();
  EXPECT_EQ(a.frames_done(), 2);
  rig.FinishAll();
}

TEST(SchedulerWatchdogTest, ABatchThatHangsEveryChannelEndsOnlyItsOwnStreams) {
  TestRig rig(3, 4, {.max_attempts = 2});
  RecordingStream a(&rig, 1), b(&rig, 2);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  rig.clock.Advance(seconds(2));
  ASSERT_THAT(rig.Lanes(1), ElementsAre(1));
  rig.clock.Advance(seconds(2));
  ASSERT_THAT(a.results, SizeIs(1));
  EXPECT_EQ(a.results[0].status.code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  rig.puppet(2).Finish();
  EXPECT_EQ(b.frames_done(), 1);
  rig.FinishAll();
}

TEST(SchedulerWatchdogTest, StreamsEndWithAnErrorWhenTheOnlyChannelHangs) {
  TestRig rig;
  RecordingStream a(&rig, 1), b(&rig, 2);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  rig.clock.Advance(seconds(2));
  for (RecordingStream* s : {&a, &b}) {
    ASSERT_THAT(s->results, SizeIs(1));
    EXPECT_EQ(s->results[0].status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(s->results[0].status.message(), HasSubstr("puppet0 has not finished"));
  }
  rig.puppet().Finish();
  rig.PassTest();
  EXPECT_EQ(rig.scheduler->working_channels(), 1);
}

TEST(SchedulerWatchdogTest, AStreamMayBeDestroyedWhileItsOverdueBatchRuns) {
  TestRig rig(2);
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  a.handle.reset();
  rig.clock.Advance(seconds(2));
  EXPECT_FALSE(rig.puppet(1).busy());
  rig.puppet(0).Finish();
  EXPECT_THAT(a.results, SizeIs(0));
  rig.PassTest(0);
}

TEST(SchedulerWatchdogTest, GivesUpATestThatHangs) {
  TestRig rig(2);
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  rig.puppet(0).Fail(kBroken);
  rig.puppet(1).Finish();
  ASSERT_TRUE(rig.Testing(0));
  rig.clock.Advance(seconds(2));
  EXPECT_EQ(rig.scheduler->working_channels(), 1);
  rig.puppet(0).Finish();
  EXPECT_FALSE(rig.puppet(0).busy()) << "after its second failure it should rest";
  rig.clock.Advance(ChannelPool::kFirstRest);
  rig.PassTest(0);
  EXPECT_EQ(rig.scheduler->working_channels(), 2);
}

// The scheduler expects a long batch to take long and does not blame the channel.
TEST(SchedulerWatchdogTest, WaitsTenTimesAsLongAsExpected) {
  TestRig rig(2);
  RecordingStream a(&rig, 1);
  rig.cost = {.per_batch_ns = 1e9};
  for (int i = 0; i < 400; ++i) {  // the scheduler learns that batches take a second
    ASSERT_EQ(a.Push(1), absl::OkStatus());
    rig.clock.Advance(seconds(1));
    rig.FinishAll();
  }
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  rig.clock.Advance(seconds(9));
  EXPECT_FALSE(rig.puppet(0).busy() && rig.puppet(1).busy());
  rig.clock.Advance(seconds(2));
  EXPECT_TRUE(rig.puppet(0).busy() && rig.puppet(1).busy());
  rig.FinishAll();
}

}  // namespace
}  // namespace ese
