// SPDX-License-Identifier: Apache-2.0
#include "client/replay_buffer.h"

#include "gtest/gtest.h"

namespace ese {
namespace {

std::string SendAll(ReplayBuffer& buffer) {
  std::string sent;
  while (buffer.has_unsent()) sent += buffer.Next() + "|";
  return sent;
}

ReplayBuffer Sent(std::initializer_list<std::string> chunks, size_t max_bytes = 100) {
  ReplayBuffer buffer(max_bytes);
  for (const std::string& chunk : chunks) buffer.Append(chunk);
  SendAll(buffer);
  return buffer;
}

TEST(ReplayBufferTest, SendsInOrderAndAgainAfterRewinding) {
  ReplayBuffer buffer(100);
  buffer.Append("abc");
  buffer.Append("de");
  EXPECT_EQ(buffer.Next(), "abc");
  buffer.Rewind();
  EXPECT_EQ(SendAll(buffer), "abc|de|");
  buffer.Append("f");
  EXPECT_EQ(SendAll(buffer), "f|");
}

TEST(ReplayBufferTest, FullUntilACheckpointFreesIt) {
  ReplayBuffer buffer = Sent({"abcd", "ef"}, 6);
  EXPECT_TRUE(buffer.full());
  EXPECT_TRUE(buffer.DropTo(1).ok());
  EXPECT_FALSE(buffer.full());
}

TEST(ReplayBufferTest, ACheckpointAtEveryByte) {
  const std::string replays[] = {"abc|de|f|", "bc|de|f|", "c|de|f|", "de|f|", "e|f|", "f|", ""};
  const int64_t first_chunks[] = {0, 0, 0, 1, 1, 2, 3};
  for (int64_t at = 0; at <= 6; ++at) {
    ReplayBuffer buffer = Sent({"abc", "de", "f"});
    ASSERT_TRUE(buffer.DropTo(at).ok());
    EXPECT_EQ(buffer.first_byte(), at);
    EXPECT_EQ(buffer.first_chunk(), first_chunks[at]);
    buffer.Rewind();
    EXPECT_EQ(SendAll(buffer), replays[at]);
  }
}

TEST(ReplayBufferTest, AnEmptyChunkAtTheCheckpointIsSentAgain) {
  ReplayBuffer buffer = Sent({"abc", "", "d"});
  ASSERT_TRUE(buffer.DropTo(3).ok());
  EXPECT_EQ(buffer.first_chunk(), 1);
  ASSERT_TRUE(buffer.DropTo(4).ok());
  EXPECT_EQ(buffer.first_chunk(), 3);
}

TEST(ReplayBufferTest, CheckpointsOutsideOfWhatWasSentAreErrors) {
  ReplayBuffer buffer = Sent({"abc"});
  buffer.Append("def");
  EXPECT_EQ(buffer.DropTo(5).code(), absl::StatusCode::kDataLoss);
  ReplayBuffer later = Sent({"abc"});
  ASSERT_TRUE(later.DropTo(2).ok());
  EXPECT_EQ(later.DropTo(1).code(), absl::StatusCode::kDataLoss);
}

TEST(ReplayBufferTest, KeepsNothingWithoutCheckpoints) {
  ReplayBuffer buffer = Sent({"abc", "de"}, 5);
  EXPECT_TRUE(buffer.full());
  buffer.StopKeeping();
  EXPECT_FALSE(buffer.keeps());
  EXPECT_FALSE(buffer.full());
  buffer.Append("f");
  EXPECT_EQ(SendAll(buffer), "f|");
  EXPECT_EQ(buffer.first_byte(), 6);
  EXPECT_EQ(buffer.first_chunk(), 3);
  EXPECT_TRUE(buffer.DropTo(1).ok());  // which would come too late
}

}  // namespace
}  // namespace ese
