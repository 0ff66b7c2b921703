// SPDX-License-Identifier: Apache-2.0
// Tests which frames go to which channel, and when. scheduler_fault_test.cc tests faults,
// scheduler_lifetime_test.cc tests lifetimes, and scheduler_fairness_test.cc tests which streams
// wait for which others.
#include "scheduler/scheduler.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/test_rig.h"

namespace ese {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

TEST(SchedulerTest, AFrameGoesToAFreeChannelAtOnceAndReturns) {
  TestRig rig;
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_TRUE(rig.puppet().busy());
  EXPECT_THAT(rig.Lanes(), ElementsAre(1));
  rig.puppet().Finish(milliseconds(3));
  ASSERT_THAT(a.results, SizeIs(1));
  EXPECT_EQ(a.results[0].num_frames, 1);
  EXPECT_EQ(a.results[0].compute_time, milliseconds(3));
  EXPECT_EQ(a.results[0].queue_time, Duration(0));
  EXPECT_EQ(a.results[0].status, absl::OkStatus());
  EXPECT_FALSE(rig.puppet().busy());
}

TEST(SchedulerTest, WaitingStreamsShareTheNextBatchUpToItsLanes) {
  TestRig rig(1, /*max_lanes=*/3);
  RecordingStream a(&rig, 1), b(&rig, 2), c(&rig, 3), d(&rig, 4), e(&rig, 5);
  for (RecordingStream* s : {&a, &b, &c, &d, &e}) ASSERT_EQ(s->Push(1), absl::OkStatus());
  EXPECT_THAT(rig.Lanes(), ElementsAre(1));
  rig.puppet().Finish();
  EXPECT_THAT(rig.Lanes(), ElementsAre(2, 3, 4));
  rig.puppet().Finish();
  EXPECT_THAT(rig.Lanes(), ElementsAre(5));
  rig.puppet().Finish();
  for (RecordingStream* s : {&a, &b, &c, &d, &e}) EXPECT_EQ(s->frames_done(), 1);
}

TEST(SchedulerTest, TheEarliestDeadlineGoesFirstEvenIfOthersWereReadyBefore) {
  TestRig rig(1, /*max_lanes=*/1);
  RecordingStream a(&rig, 1), b(&rig, 2), c(&rig, 3);
  ASSERT_EQ(a.Push(1), absl::OkStatus());  // in flight
  rig.clock.Advance(milliseconds(1));
  ASSERT_EQ(a.Push(1), absl::OkStatus());  // deadline 1 + 30, ready when its batch is finished
  rig.clock.Advance(milliseconds(1));
  ASSERT_EQ(b.Push(1), absl::OkStatus());  // deadline 2 + 30, ready now
  rig.clock.Advance(milliseconds(1));
  ASSERT_EQ(c.Push(1), absl::OkStatus());
  for (int expected : {1, 1, 2, 3}) {
    EXPECT_THAT(rig.Lanes(), ElementsAre(expected));
    rig.puppet().Finish();
  }
  EXPECT_EQ(a.results[1].queue_time, milliseconds(2));
}

TEST(SchedulerTest, TheDeadlineIsThatOfTheOldestWaitingFrame) {
  TestRig rig(1, /*max_lanes=*/1);
  RecordingStream a(&rig, 1), b(&rig, 2), c(&rig, 3);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  rig.clock.Advance(milliseconds(1));
  ASSERT_EQ(c.Push(1), absl::OkStatus());
  rig.clock.Advance(milliseconds(1));
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  rig.puppet().Finish();
  EXPECT_THAT(rig.Lanes(), ElementsAre(2)) << "its first frame counts";
  EXPECT_THAT(rig.LaneFrames(), ElementsAre(2));
  rig.puppet().Finish();
  EXPECT_EQ(b.results[0].queue_time, milliseconds(2)) << "the longest wait of its frames counts";
  rig.puppet().Finish();
}

TEST(SchedulerTest, EqualDeadlinesGoInOrderOfArrival) {
  TestRig rig(1, /*max_lanes=*/2);
  RecordingStream a(&rig, 1), b(&rig, 2), c(&rig, 3), d(&rig, 4);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  for (RecordingStream* s : {&c, &b, &d}) ASSERT_EQ(s->Push(1), absl::OkStatus());
  rig.puppet().Finish();
  EXPECT_THAT(rig.Lanes(), ElementsAre(3, 2));
  rig.puppet().Finish();
  rig.puppet().Finish();
}

TEST(SchedulerTest, RaggedBatchesTakeUpToMaxFramesOfEachStream) {
  TestRig rig(1, 4, {.max_frames_per_lane = 3});
  RecordingStream a(&rig, 1), b(&rig, 2), c(&rig, 3);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(a.Push(5), absl::OkStatus());
  ASSERT_EQ(b.Push(3), absl::OkStatus());
  ASSERT_EQ(c.Push(1), absl::OkStatus());
  rig.puppet().Finish();
  EXPECT_THAT(rig.Lanes(), ElementsAre(2, 3, 1));
  EXPECT_THAT(rig.LaneFrames(), ElementsAre(3, 1, 3));
  rig.puppet().Finish();
  EXPECT_THAT(rig.Lanes(), ElementsAre(1));
  EXPECT_THAT(rig.LaneFrames(), ElementsAre(2));
  rig.puppet().Finish();
  EXPECT_EQ(a.frames_done(), 6);
  EXPECT_EQ(b.frames_done(), 3);
  EXPECT_EQ(c.frames_done(), 1);
}

TEST(SchedulerTest, LeavesNoChannelIdleWhileStreamsWait) {
  TestRig rig(3, /*max_lanes=*/4);
  RecordingStream a(&rig, 1), b(&rig, 2), c(&rig, 3), d(&rig, 4);
  for (RecordingStream* s : {&a, &b, &c}) ASSERT_EQ(s->Push(1), absl::OkStatus());
  for (int i = 0; i < 3; ++i) EXPECT_THAT(rig.Lanes(i), ElementsAre(i + 1));
  ASSERT_EQ(d.Push(1), absl::OkStatus());
  rig.puppet(1).Finish();
  EXPECT_THAT(rig.Lanes(1), ElementsAre(4)) << "this is the first free channel";
  for (int i = 0; i < 3; ++i) rig.puppet(i).Finish();
}

TEST(SchedulerTest, AStreamIsNeverInTwoBatches) {
  TestRig rig(2);
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  EXPECT_TRUE(rig.puppet(0).busy());
  EXPECT_FALSE(rig.puppet(1).busy());
  rig.puppet(0).Finish();
  EXPECT_TRUE(rig.puppet(1).busy()) << "this channel has been idle for longest";
  EXPECT_FALSE(rig.puppet(0).busy());
  rig.puppet(1).Finish();
  EXPECT_EQ(a.frames_done(), 2);
}

TEST(SchedulerTest, SubmitsTheNextBatchBeforeItDeliversResults) {
  TestRig rig(1, /*max_lanes=*/2);
  RecordingStream a(&rig, 1), b(&rig, 2);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  std::vector<int> lanes;
  a.hook = [&](const StreamResult&) { lanes = rig.Lanes(); };
  rig.puppet().Finish();
  EXPECT_THAT(lanes, ElementsAre(2, 1));
  a.hook = nullptr;
  rig.puppet().Finish();
}

// The second batch of a stream finishes on another channel while the callback of the first one
// runs. Its result waits for that callback, and the stream does not get further ahead.
TEST(SchedulerTest, CallbacksKeepTheirOrderAcrossTwoChannels) {
  TestRig rig(2, 4, {.max_frames_per_lane = 1});
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(4), absl::OkStatus());
  int depth = 0;
  bool first = true;
  a.hook = [&](const StreamResult& result) {
    EXPECT_EQ(++depth, 1) << "frame " << result.first_frame;
    if (first) {
      first = false;
      ASSERT_TRUE(rig.puppet(1).busy());
      rig.puppet(1).Finish();
      EXPECT_THAT(a.results, SizeIs(1));
      EXPECT_FALSE(rig.puppet(0).busy() || rig.puppet(1).busy()) << "two results are waiting";
    }
    --depth;
  };
  rig.puppet(0).Finish();
  EXPECT_THAT(a.results, SizeIs(2));
  for (int i = 0; rig.puppet(0).busy() || rig.puppet(1).busy(); i = 1 - i) {
    if (rig.puppet(i).busy()) rig.puppet(i).Finish();
  }
  EXPECT_EQ(a.frames_done(), 4);
}

TEST(SchedulerTest, RefusesAPushThatDoesNotFitAsAWhole) {
  TestRig rig(1, 4, {.max_queued_frames = 5});
  RecordingStream a(&rig, 1);
  EXPECT_EQ(a.handle->room(), 5);
  EXPECT_EQ(a.Push(6).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(a.handle->room(), 5);
  EXPECT_FALSE(rig.puppet().busy());
  EXPECT_EQ(a.Push(5), absl::OkStatus()) << "the queue is then exactly full";
  EXPECT_EQ(a.handle->room(), 0);
  const absl::Status status = a.Push(1);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(status.message(), AllOf(HasSubstr("room for 0 of 5"), HasSubstr("wait for results")));
  rig.puppet().Finish();
  EXPECT_EQ(a.frames_done(), 5);
}

TEST(SchedulerTest, FramesKeepTheirRoomUntilTheirCallbackBegins) {
  TestRig rig(1, 4, {.max_queued_frames = 3});
  RecordingStream a(&rig, 1), b(&rig, 2);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  EXPECT_EQ(a.handle->room(), 1) << "frames in flight count";
  int in_callback = -1;
  a.hook = [&](const StreamResult&) {
    in_callback = a.handle->room();
    a.hook = nullptr;
    EXPECT_EQ(a.Push(2), absl::OkStatus()) << "a callback may push";
  };
  rig.puppet().Finish();
  EXPECT_EQ(in_callback, 2);
  EXPECT_EQ(a.handle->room(), 0);
  while (rig.puppet().busy()) rig.puppet().Finish();
  EXPECT_EQ(a.frames_done(), 4);
  EXPECT_EQ(a.handle->room(), 3);
}

TEST(SchedulerTest, RefusesAPushOfNoFramesOrOfPartOfAFrame) {
  TestRig rig;
  RecordingStream a(&rig, 1);
  EXPECT_EQ(a.handle->Push({}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(a.handle->Push({{1, 2, 3, 4}}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(rig.puppet().busy());
}

TEST(SchedulerTest, RefusesStreamsAboveTheLimit) {
  TestRig rig(1, 4, {.max_streams = 2});
  auto a = std::make_unique<RecordingStream>(&rig, 1);
  RecordingStream b(&rig, 2);
  EXPECT_EQ(rig.scheduler->open_streams(), 2);
  const absl::Status status = rig.scheduler->Open({}, [](const StreamResult&) {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("already has 2 open streams"));
  EXPECT_GT(RetryAfter(status).value_or(Duration(0)), Duration(0));
  a.reset();
  EXPECT_EQ(rig.scheduler->Open({}, [](const StreamResult&) {}).status(), absl::OkStatus());
}

// A snapshot taken in any callback opens a stream that continues with the same bits.
TEST(SchedulerTest, AStreamResumesFromASnapshot) {
  TestRig rig(1, 4, {.max_frames_per_lane = 2});
  RecordingStream a(&rig, 1);
  std::vector<StreamState> states;
  a.hook = [&](const StreamResult& result) {
    const StreamSnapshot now = a.handle->Snapshot();
    EXPECT_EQ(now.frame, result.first_frame + result.num_frames);
    states.push_back(now.state);
  };
  ASSERT_EQ(a.Push(4), absl::OkStatus());
  while (rig.puppet().busy()) rig.puppet().Finish();
  ASSERT_THAT(states, SizeIs(2));
  EXPECT_FALSE(SameState(states[0], states[1]));
  for (int i : {0, 1}) {
    RecordingStream resumed(&rig, 1, {.initial_state = states[i], .first_frame = 2 * i + 2});
    ASSERT_EQ(resumed.Push(3), absl::OkStatus());
    while (rig.puppet().busy()) rig.puppet().Finish();
    EXPECT_EQ(resumed.frames_done(), 2 * i + 5);
    EXPECT_EQ(resumed.results[0].first_frame, 2 * i + 2);
  }
}

TEST(SchedulerTest, RefusesAStateOfAnotherShapeAndANegativeFrame) {
  TestRig rig;
  const auto open = [&](StreamOptions options) {
    return rig.scheduler->Open(std::move(options), [](const StreamResult&) {}).status();
  };
  StreamState short_of_a_cell(*rig.model);
  short_of_a_cell.c = AlignedBuffer<int16_t>(rig.model->total_cells() - 1);
  StreamState with_an_output_more(*rig.model);
  with_an_output_more.y = AlignedBuffer<int8_t>(rig.model->total_outputs() + 1);
  for (const StreamState& state : {short_of_a_cell, with_an_output_more}) {
    const absl::Status status = open({.initial_state = state});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(), HasSubstr("has 4 and 3"));
  }
  EXPECT_EQ(open({.first_frame = -1}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rig.scheduler->open_streams(), 0);
}

TEST(SchedulerTest, SubmitMovesTheBatchIfAndOnlyIfOk) {
  TestRig rig;
  auto batch = std::make_unique<Batch>();
  EXPECT_EQ(rig.puppet().Submit(&batch, nullptr).code(), absl::StatusCode::kInvalidArgument);
  ASSERT_NE(batch, nullptr);
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  batch->lanes = rig.puppet().batch().lanes;
  EXPECT_EQ(rig.puppet().Submit(&batch, nullptr).code(), absl::StatusCode::kUnavailable);
  ASSERT_NE(batch, nullptr);
  rig.puppet().Finish();
}

TEST(SchedulerTest, MetricsCountWhatHappened) {
  TestRig rig(1, 4, {.max_streams = 3, .max_frames_per_lane = 2});
  RecordingStream a(&rig, 1), b(&rig, 2);
  {
    RecordingStream c(&rig, 3);
    EXPECT_FALSE(rig.scheduler->Open({}, [](const StreamResult&) {}).ok());
  }
  ASSERT_EQ(a.Push(3), absl::OkStatus());
  ASSERT_EQ(b.Push(1), absl::OkStatus());
  rig.clock.Advance(milliseconds(10));
  rig.puppet().Finish(milliseconds(4));  // a 2
  rig.puppet().Finish(milliseconds(6));  // b 1, a 1
  const std::string text = rig.registry.Render();
  for (const char* line : {
           "ese_streams{model=\"test\"} 2",
           "ese_streams_opened_total{model=\"test\"} 3",
           "ese_streams_refused_total{model=\"test\"} 1",
           "ese_frames_total{model=\"test\"} 4",
           "ese_batches_total{channel=\"puppet0\",model=\"test\"} 2",
           "ese_batch_failures_total{channel=\"puppet0\",model=\"test\"} 0",
           "ese_batch_lanes_bucket{model=\"test\",le=\"1\"} 1",
           "ese_batch_lanes_bucket{model=\"test\",le=\"2\"} 2",
           "ese_batch_frames_sum{model=\"test\"} 4",
           "ese_queue_wait_seconds_bucket{model=\"test\",le=\"0.0075\"} 1",
           "ese_queue_wait_seconds_bucket{model=\"test\",le=\"0.01\"} 3",
           "ese_step_seconds_bucket{model=\"test\",le=\"0.002\"} 1",
           "ese_step_seconds_count{model=\"test\"} 2",
           "ese_batch_seconds_bucket{model=\"test\",le=\"0.005\"} 1",
           "ese_channel_busy_seconds_total{channel=\"puppet0\",model=\"test\"} 0.01",
       }) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

}  // namespace
}  // namespace ese
