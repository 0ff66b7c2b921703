// SPDX-License-Identifier: Apache-2.0
#include "server/stream_flow.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

constexpr size_t kDim = 3;
const TimePoint kNow{};

v1::StreamingInferResponse Greeting() {
  v1::StreamingInferResponse greeting;
  greeting.mutable_model()->set_name("m");
  return greeting;
}

v1::StreamingInferResponse AnswerTo(int64_t first, int count, size_t bytes = 0) {
  v1::StreamingInferResponse answer;
  answer.set_first_frame(first);
  answer.set_num_frames(count);
  answer.set_log_posteriors(std::string(bytes, 'p'));
  answer.set_queue_seconds(count);
  answer.set_compute_seconds(1);
  return answer;
}

// Returns a flow whose greeting has been written.
StreamFlow Greeted(int window, int64_t checkpoint_every = 0, int64_t first_frame = 0) {
  StreamFlow flow({.frame_bytes = kDim,
                   .window = window,
                   .first_frame = first_frame,
                   .checkpoint_every = checkpoint_every},
                  Greeting());
  flow.TakeResponse();
  flow.Written();
  return flow;
}

void AddFrames(StreamFlow& flow, int frames) {
  flow.AddChunk(std::vector<int8_t>(frames * kDim), kNow);
}

int PushAll(StreamFlow& flow, int room = 1000) {
  const auto frames = flow.NextFrames(room);
  const int count = static_cast<int>(frames.size() / kDim);
  if (count > 0) flow.Pushed(frames);
  return count;
}

TEST(StreamFlowTest, TheGreetingComesFirstAndStaysAlone) {
  StreamFlow flow({.frame_bytes = kDim, .window = 8}, Greeting());
  AddFrames(flow, 1);
  PushAll(flow);
  flow.AddAnswer(AnswerTo(0, 1));
  const auto first = flow.TakeResponse();
  EXPECT_TRUE(first->message.has_model());
  EXPECT_EQ(first->message.num_frames(), 0);
  EXPECT_EQ(first->message.chunks_done(), 0);
  flow.Written();
  EXPECT_EQ(flow.TakeResponse()->message.chunks_done(), 1);
}

TEST(StreamFlowTest, AChunkIsPushedInOrderAsFarAsThereIsRoom) {
  StreamFlow flow = Greeted(8);
  flow.AddChunk({1, 1, 1, 2, 2, 2, 3, 3, 3}, kNow);
  EXPECT_THAT(flow.NextFrames(0), testing::IsEmpty());
  EXPECT_THAT(flow.NextFrames(2), testing::ElementsAre(1, 1, 1, 2, 2, 2));
  EXPECT_EQ(PushAll(flow, 2), 2);
  EXPECT_FALSE(flow.WantsChunk());
  EXPECT_THAT(flow.NextFrames(2), testing::ElementsAre(3, 3, 3));
  EXPECT_EQ(PushAll(flow, 2), 1);
  EXPECT_TRUE(flow.WantsChunk());
}

TEST(StreamFlowTest, FramesWhoseAnswersAreNotWrittenFillTheWindow) {
  StreamFlow flow = Greeted(2);
  AddFrames(flow, 3);
  EXPECT_EQ(PushAll(flow), 2);
  flow.AddAnswer(AnswerTo(0, 2));
  EXPECT_EQ(PushAll(flow), 0) << "answered, but not sent";
  ASSERT_TRUE(flow.TakeResponse());
  EXPECT_EQ(PushAll(flow), 0) << "sent, but not written";
  flow.Written();
  EXPECT_EQ(PushAll(flow), 1);
}

TEST(StreamFlowTest, AChunkIsDoneWhenItsLastFrameIsAnswered) {
  StreamFlow flow = Greeted(8);
  AddFrames(flow, 3);
  PushAll(flow);
  flow.AddAnswer(AnswerTo(0, 2));
  auto response = flow.TakeResponse();
  EXPECT_EQ(response->message.chunks_done(), 0);
  EXPECT_THAT(response->chunk_arrivals, testing::IsEmpty());
  flow.Written();
  flow.AddAnswer(AnswerTo(2, 1));
  response = flow.TakeResponse();
  EXPECT_EQ(response->message.chunks_done(), 1);
  EXPECT_THAT(response->chunk_arrivals, testing::SizeIs(1));
}

TEST(StreamFlowTest, AChunkWithoutAFrameIsAnsweredImmediatelyIfNothingPrecedesIt) {
  StreamFlow flow = Greeted(8);
  AddFrames(flow, 0);
  const auto response = flow.TakeResponse();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->message.num_frames(), 0);
  EXPECT_EQ(response->message.chunks_done(), 1);
}

TEST(StreamFlowTest, AChunkWithoutAFrameWaitsForTheFramesBeforeIt) {
  StreamFlow flow = Greeted(8);
  AddFrames(flow, 1);
  PushAll(flow);
  AddFrames(flow, 0);
  EXPECT_FALSE(flow.TakeResponse());
  flow.AddAnswer(AnswerTo(0, 1));
  EXPECT_EQ(flow.TakeResponse()->message.chunks_done(), 2);
}

TEST(StreamFlowTest, TheWindowAlsoBoundsChunksWithoutFrames) {
  StreamFlow flow = Greeted(2);
  AddFrames(flow, 0);
  AddFrames(flow, 0);
  EXPECT_FALSE(flow.WantsChunk());
  EXPECT_EQ(flow.TakeResponse()->message.chunks_done(), 2);
  flow.Written();
  EXPECT_TRUE(flow.WantsChunk());
}

TEST(StreamFlowTest, WaitingAnswersAreMerged) {
  StreamFlow flow = Greeted(8);
  AddFrames(flow, 3);
  PushAll(flow);
  flow.AddAnswer(AnswerTo(0, 1, 4));
  flow.AddAnswer(AnswerTo(1, 2, 8));
  const auto response = flow.TakeResponse();
  EXPECT_EQ(response->message.first_frame(), 0);
  EXPECT_EQ(response->message.num_frames(), 3);
  EXPECT_EQ(response->message.log_posteriors().size(), 12u);
  EXPECT_EQ(response->message.queue_seconds(), 2) << "the longest";
  EXPECT_EQ(response->message.compute_seconds(), 2) << "the sum";
  EXPECT_FALSE(flow.TakeResponse());
}

TEST(StreamFlowTest, LargeAnswersAreNotMerged) {
  StreamFlow flow = Greeted(8);
  AddFrames(flow, 2);
  PushAll(flow);
  flow.AddAnswer(AnswerTo(0, 1, 1 << 20));
  flow.AddAnswer(AnswerTo(1, 1, 1 << 20));
  EXPECT_EQ(flow.TakeResponse()->message.num_frames(), 1);
  flow.Written();
  EXPECT_EQ(flow.TakeResponse()->message.num_frames(), 1);
}

TEST(StreamFlowTest, TheFinalResponseComesOnceAfterAllAnswers) {
  StreamFlow flow = Greeted(8);
  AddFrames(flow, 1);
  flow.EndInput();
  EXPECT_FALSE(flow.WantsChunk());
  EXPECT_FALSE(flow.TakeResponse()) << "not pushed";
  PushAll(flow);
  EXPECT_FALSE(flow.TakeResponse()) << "not answered";
  flow.AddAnswer(AnswerTo(0, 1));
  EXPECT_FALSE(flow.TakeResponse()->message.is_final());
  flow.Written();
  const auto last = flow.TakeResponse();
  EXPECT_TRUE(last->message.is_final());
  EXPECT_EQ(last->message.first_frame(), 1);
  EXPECT_EQ(last->message.num_frames(), 0);
  EXPECT_EQ(last->message.chunks_done(), 1);
  flow.Written();
  EXPECT_FALSE(flow.TakeResponse());
}

TEST(StreamFlowTest, AStreamWithoutContentEndsAfterTheGreeting) {
  StreamFlow flow = Greeted(8);
  flow.EndInput();
  EXPECT_TRUE(flow.TakeResponse()->message.is_final());
}

v1::Checkpoint CheckpointOf(int64_t frames) {
  v1::Checkpoint checkpoint;
  checkpoint.set_frames(frames);
  return checkpoint;
}

TEST(StreamFlowTest, ARequestedCheckpointComesWithTheAnswerToTheChunksBeforeIt) {
  StreamFlow flow = Greeted(8);
  AddFrames(flow, 3);
  PushAll(flow);
  flow.RequestCheckpoint();
  EXPECT_FALSE(flow.CheckpointDue());
  EXPECT_FALSE(flow.WantsChunk()) << "only one request may be pending";
  flow.AddAnswer(AnswerTo(0, 2));
  EXPECT_FALSE(flow.CheckpointDue());
  EXPECT_FALSE(flow.TakeResponse()->message.has_checkpoint());
  flow.Written();
  flow.AddAnswer(AnswerTo(2, 1));
  ASSERT_TRUE(flow.CheckpointDue());
  flow.AddCheckpoint(CheckpointOf(3));
  EXPECT_FALSE(flow.CheckpointDue());
  const auto response = flow.TakeResponse();
  EXPECT_EQ(response->message.first_frame(), 2);
  EXPECT_EQ(response->message.checkpoint().frames(), 3);
  EXPECT_FALSE(flow.WantsChunk());
  flow.Written();
  EXPECT_TRUE(flow.WantsChunk());
}

TEST(StreamFlowTest, IfEverythingIsAnsweredACheckpointComesImmediately) {
  StreamFlow flow = Greeted(8);
  flow.RequestCheckpoint();
  ASSERT_TRUE(flow.CheckpointDue());
  flow.AddCheckpoint(CheckpointOf(0));
  const auto response = flow.TakeResponse();
  EXPECT_TRUE(response->message.has_checkpoint());
  EXPECT_EQ(response->message.num_frames(), 0);
}

TEST(StreamFlowTest, ACheckpointIsNeverPartOfTheGreeting) {
  StreamFlow flow({.frame_bytes = kDim, .window = 8}, Greeting());
  flow.RequestCheckpoint();
  flow.AddCheckpoint(CheckpointOf(0));
  EXPECT_FALSE(flow.TakeResponse()->message.has_checkpoint());
  flow.Written();
  EXPECT_TRUE(flow.TakeResponse()->message.has_checkpoint());
}

TEST(StreamFlowTest, NoAnswerIsMergedIntoAResponseWithACheckpoint) {
  StreamFlow flow = Greeted(8, 1);
  AddFrames(flow, 2);
  PushAll(flow);
  flow.AddAnswer(AnswerTo(0, 1));
  flow.AddCheckpoint(CheckpointOf(1));
  EXPECT_EQ(PushAll(flow), 1);
  flow.AddAnswer(AnswerTo(1, 1));
  EXPECT_EQ(flow.TakeResponse()->message.num_frames(), 1);
}

TEST(StreamFlowTest, FramesAfterAPeriodicCheckpointWaitForIt) {
  StreamFlow flow = Greeted(16, 4, 10);
  AddFrames(flow, 9);
  EXPECT_EQ(PushAll(flow), 4);
  EXPECT_EQ(PushAll(flow), 0);
  flow.AddAnswer(AnswerTo(10, 4));
  ASSERT_TRUE(flow.CheckpointDue());
  flow.AddCheckpoint(CheckpointOf(14));
  EXPECT_EQ(PushAll(flow), 4);
  flow.AddAnswer(AnswerTo(14, 4));
  ASSERT_TRUE(flow.CheckpointDue());
  flow.AddCheckpoint(CheckpointOf(18));
  EXPECT_EQ(PushAll(flow), 1);
  flow.AddAnswer(AnswerTo(18, 1));
  EXPECT_FALSE(flow.CheckpointDue());
}

TEST(StreamFlowTest, AHandOverAnswersThePushedFramesAndDropsTheRest) {
  StreamFlow flow = Greeted(8);
  AddFrames(flow, 5);
  EXPECT_EQ(PushAll(flow, 2), 2);
  flow.HandOver();
  EXPECT_FALSE(flow.WantsChunk());
  EXPECT_EQ(PushAll(flow), 0);
  flow.AddChunk({1, 2, 3}, kNow);  // was being read when the hand-over began
  EXPECT_EQ(PushAll(flow), 0);
  flow.EndInput();
  EXPECT_FALSE(flow.HandedOver());
  flow.AddAnswer(AnswerTo(0, 2));
  ASSERT_TRUE(flow.CheckpointDue());
  flow.AddCheckpoint(CheckpointOf(2));
  EXPECT_FALSE(flow.HandedOver()) << "not sent";
  const auto response = flow.TakeResponse();
  EXPECT_EQ(response->message.num_frames(), 2);
  EXPECT_TRUE(response->message.has_checkpoint());
  EXPECT_FALSE(response->message.is_final());
  EXPECT_FALSE(flow.HandedOver()) << "not written";
  flow.Written();
  EXPECT_TRUE(flow.HandedOver());
  EXPECT_FALSE(flow.TakeResponse());
}

TEST(StreamFlowTest, AStreamThatTheSchedulerEndedIsHandedOverAtItsLastAnswer) {
  StreamFlow flow = Greeted(8);
  AddFrames(flow, 5);
  PushAll(flow);
  flow.AddAnswer(AnswerTo(0, 2));
  flow.HandOver();
  EXPECT_FALSE(flow.CheckpointDue());
  flow.EndAnswers();
  ASSERT_TRUE(flow.CheckpointDue());
  EXPECT_EQ(flow.frames_answered(), 2);
}

}  // namespace
}  // namespace ese
