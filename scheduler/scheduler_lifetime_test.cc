// SPDX-License-Identifier: Apache-2.0
// Destroys streams at every point in the life of a batch.
#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/test_rig.h"

namespace ese {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

TEST(SchedulerLifetimeTest, DestroyedWhileWaiting) {
  TestRig rig(1, /*max_lanes=*/2);
  RecordingStream a(&rig, 1), b(&rig, 2), c(&rig, 3);
  for (RecordingStream* s : {&a, &b, &c}) ASSERT_EQ(s->Push(1), absl::OkStatus());
  b.handle.reset();
  rig.puppet().Finish();
  EXPECT_THAT(rig.Lanes(), ElementsAre(3));
  rig.puppet().Finish();
  EXPECT_THAT(b.results, SizeIs(0));
}

TEST(SchedulerLifetimeTest, DestroyedWhileInFlight) {
  TestRig rig;
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  a.handle.reset();
  EXPECT_EQ(rig.scheduler->open_streams(), 0);
  rig.puppet().Finish();
  EXPECT_THAT(a.results, SizeIs(0));
  EXPECT_FALSE(rig.puppet().busy());
}

TEST(SchedulerLifetimeTest, DestroyedWhileInABatchThatFails) {
  TestRig rig;
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  a.handle.reset();
  rig.puppet().Fail(absl::InternalError("broken"));
  rig.PassTest();
  EXPECT_FALSE(rig.puppet().busy());
  EXPECT_THAT(a.results, SizeIs(0));
}

TEST(SchedulerLifetimeTest, DestroyedWithinItsCallback) {
  TestRig rig;
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  a.hook = [&](const StreamResult&) { a.handle.reset(); };
  rig.puppet().Finish();
  EXPECT_THAT(a.results, SizeIs(1));
  rig.puppet().Finish();  // this batch was submitted before the callback
  EXPECT_THAT(a.results, SizeIs(1));
  EXPECT_EQ(rig.scheduler->open_streams(), 0);
}

TEST(SchedulerLifetimeTest, DestroyedWithinTheCallbackOfAnErrorWhichOpensAnother) {
  TestRig rig(1, 4, {.max_streams = 1, .max_attempts = 1});
  RecordingStream a(&rig, 1);
  std::unique_ptr<RecordingStream> b;
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  a.hook = [&](const StreamResult& result) {
    EXPECT_FALSE(result.status.ok());
    a.handle.reset();
    b = std::make_unique<RecordingStream>(&rig, 2);
    EXPECT_EQ(b->Push(1), absl::OkStatus());
  };
  rig.puppet().Fail(absl::InternalError("broken"));
  rig.PassTest();
  ASSERT_TRUE(rig.puppet().busy());
  rig.puppet().Finish();
  EXPECT_EQ(b->frames_done(), 1);
}

TEST(SchedulerLifetimeTest, DestroyedByTheCallbackOfAnotherStreamBeforeItsOwn) {
  TestRig rig(1, /*max_lanes=*/2);
  RecordingStream c(&rig, 3), a(&rig, 1), b(&rig, 2);
  for (RecordingStream* s : {&c, &a, &b}) ASSERT_EQ(s->Push(1), absl::OkStatus());
  rig.puppet().Finish();
  ASSERT_THAT(rig.Lanes(), ElementsAre(1, 2));
  a.hook = [&](const StreamResult&) { b.handle.reset(); };
  rig.puppet().Finish();
  EXPECT_THAT(a.results, SizeIs(1));
  EXPECT_THAT(b.results, SizeIs(0));
}

TEST(SchedulerLifetimeTest, TheCallbackIsDestroyedWithItsStream) {
  TestRig rig;
  auto held = std::make_shared<int>(0);
  auto stream = rig.scheduler->Open({}, [held](const StreamResult&) {});
  ASSERT_EQ(stream.status(), absl::OkStatus());
  ASSERT_EQ((*stream)->Push({{1, 2, 3}}), absl::OkStatus());
  EXPECT_EQ(held.use_count(), 2);
  stream->reset();
  EXPECT_EQ(held.use_count(), 1) << "although its batch is in flight";
  rig.puppet().Finish();
}

TEST(SchedulerLifetimeTest, ACallbackThatDestroysItsStreamIsDestroyedWhenItReturns) {
  TestRig rig;
  auto held = std::make_shared<int>(0);
  std::unique_ptr<Scheduler::Stream> handle;
  handle = *rig.scheduler->Open({}, [held, &handle](const StreamResult&) {
    handle.reset();
    EXPECT_GT(held.use_count(), 1) << "the callback is still running";
  });
  ASSERT_EQ(handle->Push({{1, 2, 3}}), absl::OkStatus());
  rig.puppet().Finish();
  EXPECT_EQ(held.use_count(), 1);
}

TEST(SchedulerLifetimeTest, TheDestructorWaitsForARunningCallback) {
  TestRig rig;
  RecordingStream a(&rig, 1);
  ASSERT_EQ(a.Push(1), absl::OkStatus());
  std::latch running(1), destroying(1);
  bool returned = false;
  a.hook = [&](const StreamResult&) {
    running.count_down();
    destroying.wait();
    returned = true;
  };
  std::thread channel([&] { rig.puppet().Finish(); });
  running.wait();
  std::thread destroyer([&] {
    destroying.count_down();
    a.handle.reset();
    EXPECT_TRUE(returned);
  });
  destroyer.join();
  channel.join();
}

TEST(SchedulerLifetimeTest, TheSchedulerWaitsForItsBatches) {
  TestRig rig;
  {
    RecordingStream a(&rig, 1);
    ASSERT_EQ(a.Push(1), absl::OkStatus());
  }
  PuppetChannel* const puppet = &rig.puppet();
  std::latch destroying(1);
  std::thread channel([&] {
    destroying.wait();
    puppet->Finish();
  });
  destroying.count_down();
  rig.scheduler.reset();
  channel.join();
}

}  // namespace
}  // namespace ese
