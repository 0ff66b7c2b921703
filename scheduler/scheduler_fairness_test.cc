// SPDX-License-Identifier: Apache-2.0
// Tests which streams wait for which others and for how long, and when a batch waits for more
// lanes.
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "base/retry_after.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/test_rig.h"

namespace ese {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::Le;
using ::testing::Not;
using ::testing::SizeIs;

using Streams = std::vector<std::unique_ptr<RecordingStream>>;

// Opens n streams with ids first, first + 1, ..., and pushes `frames` frames to each.
Streams MakeStreams(TestRig* rig, int first, int n, int frames, const StreamOptions& options = {}) {
  Streams streams;
  for (int i = 0; i < n; ++i) {
    streams.push_back(std::make_unique<RecordingStream>(rig, first + i, options));
    if (frames == 0) continue;
    EXPECT_EQ(streams.back()->Push(frames), absl::OkStatus());
  }
  return streams;
}

TEST(FairnessTest, StreamsWithBacklogTakeTurns) {
  constexpr int kStreams = 7, kLanes = 2, kBatches = 100;
  TestRig rig(1, kLanes, {.max_frames_per_lane = 4});
  const Streams streams = MakeStreams(&rig, 0, kStreams, 250);
  std::map<int, int> last, batches;
  for (int batch = 0; batch < kBatches; ++batch) {
    for (int id : rig.Lanes()) {
      if (last.contains(id)) {
        EXPECT_THAT(batch - last[id], AllOf(Ge(3), Le(4))) << "a round takes 3.5 batches";
      }
      last[id] = batch;
      ++batches[id];
    }
    rig.Finish();
  }
  for (int id = 0; id < kStreams; ++id) EXPECT_NEAR(batches[id], kBatches * 2 / 7, 1);
  rig.FinishAll();
}

// No matter what the streams push and when, a waiting stream is overtaken at most once by each
// other stream of its priority. So no stream waits over two rounds longer than another.
TEST(FairnessTest, NoStreamOvertakesAnotherTwice) {
  constexpr int kStreams = 23, kLanes = 3;
  TestRig rig(2, kLanes, {.max_frames_per_lane = 5});
  const Streams streams = MakeStreams(&rig, 0, kStreams, 0);
  std::mt19937 random(3);
  std::map<int, std::map<int, int>> overtaken;  // [waiting stream][overtaking stream]
  std::vector<int> pushed(kStreams), taken(kStreams);
  std::vector<bool> in_flight(kStreams);
  const auto note_batch = [&](int channel) {
    const std::vector<int> lanes = rig.Lanes(channel);
    const std::vector<int> frames = rig.LaneFrames(channel);
    for (size_t i = 0; i < lanes.size(); ++i) {
      taken[lanes[i]] += frames[i];
      in_flight[lanes[i]] = true;
      overtaken.erase(lanes[i]);
    }
    for (int id = 0; id < kStreams; ++id) {
      if (in_flight[id] || taken[id] == pushed[id]) continue;
      for (int lane : lanes) EXPECT_LE(++overtaken[id][lane], 1);
    }
  };
  int accepted[] = {rig.puppet(0).accepted(), rig.puppet(1).accepted()};
  const auto note_new_batches = [&] {
    for (int i : {0, 1}) {
      if (std::exchange(accepted[i], rig.puppet(i).accepted()) < accepted[i]) note_batch(i);
    }
  };
  for (int event = 0; event < 20000; ++event) {
    rig.clock.Advance(microseconds(1 + random() % 500));
    note_new_batches();
    const int channel = random() % 2;
    if (random() % 3 > 0) {
      const int id = random() % kStreams;
      const int n = 1 + random() % (id < 3 ? 40 : 4);  // some are fast
      if (streams[id]->Push(n).ok()) pushed[id] += n;
    } else if (rig.puppet(channel).busy()) {
      for (int id : rig.Lanes(channel)) in_flight[id] = false;
      rig.Finish(channel);
    }
    note_new_batches();
  }
  rig.FinishAll();
}

TEST(FairnessTest, TheBacklogOfFastSendersDelaysALiveStreamByAtMostOneRound) {
  constexpr int kFast = 6, kLanes = 2;
  TestRig rig(1, kLanes, {.max_frames_per_lane = 4});
  const Streams fast = MakeStreams(&rig, 0, kFast, 256);
  RecordingStream live(&rig, 100);
  for (int chunk = 0; chunk < 10; ++chunk) {
    for (int i = 0; i < chunk; ++i) rig.Finish();  // so that it pushes at every point of a round
    rig.clock.Advance(milliseconds(1));
    ASSERT_EQ(live.Push(4), absl::OkStatus());
    int batches = 0;
    while (live.frames_done() < 4 * (chunk + 1)) {
      rig.Finish();
      ++batches;
    }
    // It waits for the running batch and for one round, in which it may be the last.
    EXPECT_LE(batches, 1 + (kFast + 1 + kLanes - 1) / kLanes);
  }
  rig.FinishAll();
}

TEST(FairnessTest, AHigherPriorityGoesFirstForALimitedTime) {
  TestRig rig(1, /*max_lanes=*/1, {.max_frames_per_lane = 1});
  const Streams high = MakeStreams(&rig, 0, 3, 100, {.priority = 1});
  RecordingStream low(&rig, 100);
  ASSERT_EQ(low.Push(1), absl::OkStatus());
  int batches = 0;
  for (; low.frames_done() == 0; ++batches) {
    rig.clock.Advance(milliseconds(10));
    rig.Finish();
  }
  // It waits until the others have been ready for less than four times 30 ms.
  EXPECT_THAT(batches, AllOf(Ge(12), Le(16)));
  rig.FinishAll();
}

TEST(FairnessTest, ClampsPrioritiesSoThatNoStreamStarves) {
  TestRig rig(1, /*max_lanes=*/1, {.max_frames_per_lane = 1});
  const Streams high = MakeStreams(&rig, 0, 2, 250, {.priority = 1'000'000});
  RecordingStream low(&rig, 100, {.priority = -1'000'000});
  ASSERT_EQ(low.Push(1), absl::OkStatus());
  int batches = 0;
  for (; low.frames_done() == 0 && batches < 300; ++batches) {
    rig.clock.Advance(milliseconds(10));
    rig.Finish();
  }
  EXPECT_NEAR(batches, 16 * 4 * 3, 5);
  rig.FinishAll();
}

TEST(FairnessTest, TenantsShareInProportionToTheirWeights) {
  TestRig rig(1, /*max_lanes=*/4, {.max_frames_per_lane = 2, .tenant_weights = {{"gold", 3}}});
  const Streams many = MakeStreams(&rig, 0, 12, 250);
  const Streams gold = MakeStreams(&rig, 100, 3, 250, {.tenant = "gold"});
  for (int batch = 0; batch < 100; ++batch) rig.Finish();
  int frames = 0, gold_frames = 0;
  for (const auto& stream : many) frames += stream->frames_done();
  for (const auto& stream : gold) gold_frames += stream->frames_done();
  EXPECT_NEAR(gold_frames, 3 * frames, 16);
  rig.FinishAll();
}

TEST(FairnessTest, TheManyStreamsOfOneTenantDoNotDelayTheStreamOfAnother) {
  TestRig rig(1, /*max_lanes=*/2, {.max_frames_per_lane = 2, .max_load = 0});
  const Streams many = MakeStreams(&rig, 0, 50, 100, {.tenant = "many"});
  RecordingStream one(&rig, 100, {.tenant = "one"});
  ASSERT_EQ(one.Push(2), absl::OkStatus());
  rig.Finish();
  EXPECT_THAT(rig.Lanes(), Contains(100)) << "it should be in the next batch";
  rig.FinishAll();
}

// No channel is idle once a stream has been ready for a tenth of the target latency.
TEST(BatchTest, LeavesNoChannelIdleWhileStreamsWait) {
  constexpr int kStreams = 30;
  TestRig rig(3, /*max_lanes=*/4, {}, {.per_batch_ns = 1e6, .per_frame_ns = 1e4});
  const Streams streams = MakeStreams(&rig, 0, kStreams, 0);
  std::vector<int> pushed(kStreams);
  std::mt19937 random(11);
  for (int event = 0; event < 5000; ++event) {
    const int id = random() % kStreams;
    if (random() % 2 == 0 && streams[id]->handle->room() > 3) {
      ASSERT_EQ(streams[id]->Push(3), absl::OkStatus());
      pushed[id] += 3;
    } else if (const int i = random() % 3; rig.puppet(i).busy()) {
      rig.Finish(i);
    }
    rig.clock.Advance(milliseconds(3));
    std::vector<int> in_flight;
    bool all_busy = true;
    for (int i : {0, 1, 2}) {
      all_busy = all_busy && rig.puppet(i).busy();
      if (!rig.puppet(i).busy()) continue;
      for (int lane : rig.Lanes(i)) in_flight.push_back(lane);
    }
    for (int stream = 0; stream < kStreams && !all_busy; ++stream) {
      if (streams[stream]->frames_done() < pushed[stream]) {
        ASSERT_THAT(in_flight, Contains(stream));
      }
    }
  }
  rig.FinishAll();
}

// Two streams become ready every millisecond, and most of the cost of a batch does not depend on
// its number of lanes.
struct BusyRig : TestRig {
  BusyRig() : TestRig(1, 64, {}, {.per_step_ns = 5e5, .per_frame_ns = 1e4}) {
    streams = MakeStreams(this, 0, 64, 0);
    for (int i = 0; i < 600; ++i) {
      if (i % 2 == 0) clock.Advance(milliseconds(1));
      EXPECT_EQ(streams[i % 64]->Push(1), absl::OkStatus());
      FinishAll();
    }
    clock.Advance(milliseconds(3));
    FinishAll();
  }
  Streams streams;
};

TEST(BatchTest, WaitsForMoreLanesWhileTheirNumberIsExpectedToDouble) {
  BusyRig rig;
  ASSERT_EQ(rig.streams[0]->Push(1), absl::OkStatus());
  EXPECT_FALSE(rig.puppet().busy()) << "six more lanes are expected within 3 ms";
  rig.clock.Advance(milliseconds(1));
  ASSERT_EQ(rig.streams[1]->Push(1), absl::OkStatus());
  rig.clock.Advance(milliseconds(1));
  ASSERT_EQ(rig.streams[2]->Push(1), absl::OkStatus());
  EXPECT_THAT(rig.Lanes(), ElementsAre(0, 1, 2)) << "only two more lanes are expected, not three";
  rig.FinishAll();
}

TEST(BatchTest, WaitsNoLongerThanATenthOfTheTarget) {
  BusyRig rig;
  ASSERT_EQ(rig.streams[5]->Push(1), absl::OkStatus());
  rig.clock.Advance(milliseconds(3) - Duration(1));
  EXPECT_FALSE(rig.puppet().busy());
  rig.clock.Advance(Duration(1));
  EXPECT_THAT(rig.Lanes(), ElementsAre(5));
  rig.FinishAll();
}

TEST(BatchTest, ALoneStreamDoesNotWait) {
  BusyRig rig;
  rig.clock.Advance(milliseconds(300));
  ASSERT_EQ(rig.streams[0]->Push(1), absl::OkStatus());
  EXPECT_TRUE(rig.puppet().busy());
  rig.FinishAll();
}

TEST(BatchTest, ABatchTakesAtMostAQuarterOfTheTarget) {
  // A step of 4 lanes costs 500 us, so a batch has 15 steps.
  TestRig rig(1, 4, {.max_frames_per_lane = 100}, {.per_step_ns = 100e3, .per_frame_ns = 100e3});
  const Streams streams = MakeStreams(&rig, 0, 5, 250);
  rig.Finish();
  EXPECT_THAT(rig.LaneFrames(), ElementsAre(15, 15, 15, 15));
  rig.FinishAll();
}

TEST(BatchTest, ALongQueueDoesNotProlongTheBatchOfOtherStreams) {
  TestRig rig(1, 8, {}, {.per_step_ns = 100e3, .per_frame_ns = 10e3});
  RecordingStream first(&rig, 100);
  ASSERT_EQ(first.Push(1), absl::OkStatus());
  const Streams streams = MakeStreams(&rig, 0, 7, 2);
  RecordingStream fast(&rig, 50);
  ASSERT_EQ(fast.Push(200), absl::OkStatus());
  rig.Finish();
  EXPECT_THAT(rig.LaneFrames(), AllOf(SizeIs(8), Each(2)));
  rig.Finish();
  EXPECT_THAT(rig.LaneFrames(), ElementsAre(16)) << "the fast stream is alone";
  rig.FinishAll();
}

TEST(LimitsTest, AboveTheLimitOfQueuedBytesAStreamHasRoomForOneBatch) {
  TestRig rig(1, 4, {.max_queued_bytes = 3 * 100, .max_frames_per_lane = 8});
  RecordingStream a(&rig, 1), b(&rig, 2);
  EXPECT_EQ(a.handle->room(), 100);
  EXPECT_EQ(a.Push(101).code(), absl::StatusCode::kResourceExhausted);
  ASSERT_EQ(a.Push(80), absl::OkStatus());
  EXPECT_EQ(b.handle->room(), 20);
  EXPECT_EQ(b.Push(21).code(), absl::StatusCode::kResourceExhausted) << "its own queue is empty";
  ASSERT_EQ(a.Push(20), absl::OkStatus());
  EXPECT_EQ(b.handle->room(), 8);
  EXPECT_EQ(a.handle->room(), 0);
  EXPECT_EQ(b.Push(9).code(), absl::StatusCode::kResourceExhausted);
  ASSERT_EQ(b.Push(8), absl::OkStatus());
  EXPECT_EQ(b.handle->room(), 0);
  while (rig.puppet().busy()) rig.Finish();
  EXPECT_EQ(a.handle->room(), 100);
  EXPECT_EQ(b.frames_done(), 8);
}

TEST(LimitsTest, ADestroyedStreamFreesTheRoomOfItsFrames) {
  TestRig rig(1, 4, {.max_queued_bytes = 3 * 100});
  RecordingStream a(&rig, 1);
  {
    RecordingStream b(&rig, 2);
    ASSERT_EQ(b.Push(100), absl::OkStatus());
    EXPECT_EQ(a.handle->room(), 16);
  }
  rig.FinishAll();
  EXPECT_EQ(a.handle->room(), 100);
}

// Two channels that take 1 ms for each frame compute 2000 frames a second, which is enough for 20
// streams of 100 frames a second.
TEST(LimitsTest, RefusesStreamsAboveTheMeasuredCapacityUntilOthersTurnOutIdle) {
  TestRig rig(2, 4, {.max_load = 0.87}, {.per_frame_ns = 1e6});
  std::vector<std::unique_ptr<Scheduler::Stream>> streams;
  absl::Status refusal;
  while (refusal.ok() && streams.size() < 100) {
    auto stream = rig.scheduler->Open({}, [](const StreamResult&) {});
    refusal = stream.status();
    if (stream.ok()) streams.push_back(*std::move(stream));
  }
  EXPECT_THAT(streams, SizeIs(17)) << "each needs five percent";
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnavailable);
  EXPECT_GE(RetryAfter(refusal).value_or(Duration(0)), seconds(1));
  rig.clock.Advance(seconds(2));
  EXPECT_EQ(rig.scheduler->Open({}, [](const StreamResult&) {}).status(), absl::OkStatus());
}

}  // namespace
}  // namespace ese
