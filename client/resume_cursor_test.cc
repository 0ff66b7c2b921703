// SPDX-License-Identifier: Apache-2.0
#include "client/resume_cursor.h"

#include "gtest/gtest.h"

namespace ese {
namespace {

using Answer = ResumeCursor::Answer;
using Progress = ReconnectPolicy::Progress;

v1::StreamingInferResponse Acceptance(const std::string& fingerprint = "f") {
  v1::StreamingInferResponse response;
  response.mutable_model()->set_fingerprint(fingerprint);
  return response;
}

v1::StreamingInferResponse Frames(int64_t first, int64_t end, int64_t chunks_done) {
  v1::StreamingInferResponse response;
  response.set_first_frame(first);
  response.set_num_frames(static_cast<int32_t>(end - first));
  response.set_chunks_done(chunks_done);
  return response;
}

v1::StreamingInferResponse WithCheckpoint(v1::StreamingInferResponse response,
                                          const std::string& token, int64_t frames, int64_t bytes) {
  response.mutable_checkpoint()->set_token(token);
  response.mutable_checkpoint()->set_frames(frames);
  response.mutable_checkpoint()->set_content_bytes(bytes);
  return response;
}

Answer Accept(ResumeCursor& cursor, v1::StreamingInferResponse response) {
  const absl::StatusOr<Answer> answer = cursor.Accept(&response);
  EXPECT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(response.has_checkpoint());
  return *answer;
}

ResumeCursor Opened() {
  v1::StreamingConfig config;
  config.set_model("m");
  ResumeCursor cursor(config);
  cursor.BeginCall(0);
  return cursor;
}

TEST(ResumeCursorTest, ProgressOfTheFirstCall) {
  ResumeCursor cursor = Opened();
  EXPECT_EQ(cursor.progress(), Progress::kNone);
  const Answer answer = Accept(cursor, Acceptance());
  EXPECT_TRUE(answer.acceptance);
  EXPECT_TRUE(answer.shown);
  EXPECT_EQ(cursor.progress(), Progress::kNews);
}

TEST(ResumeCursorTest, TheNextCallStartsFromTheLastCheckpoint) {
  ResumeCursor cursor = Opened();
  Accept(cursor, Acceptance());
  EXPECT_TRUE(cursor.config().resume_token().empty());
  EXPECT_FALSE(Accept(cursor, Frames(0, 2, 1)).checkpoint);
  EXPECT_TRUE(Accept(cursor, WithCheckpoint(Frames(2, 3, 2), "a", 3, 30)).checkpoint);
  EXPECT_TRUE(Accept(cursor, WithCheckpoint(Frames(3, 5, 3), "b", 5, 50)).checkpoint);
  Accept(cursor, Frames(5, 6, 4));
  EXPECT_EQ(cursor.config().model(), "m");
  EXPECT_EQ(cursor.config().resume_token(), "b");
  EXPECT_EQ(cursor.checkpoint_frames(), 5);
  EXPECT_EQ(cursor.checkpoint_bytes(), 50);

  cursor.BeginCall(3);
  EXPECT_EQ(cursor.progress(), Progress::kNothing);
  const Answer answer = Accept(cursor, Acceptance());
  EXPECT_TRUE(answer.acceptance);
  EXPECT_FALSE(answer.shown);
  EXPECT_FALSE(Accept(cursor, Frames(5, 6, 1)).shown);  // the user has had this frame
  EXPECT_EQ(cursor.progress(), Progress::kNothing);
  EXPECT_TRUE(Accept(cursor, Frames(6, 7, 2)).shown);
  EXPECT_EQ(cursor.progress(), Progress::kNews);
  EXPECT_EQ(cursor.ledger().frames(), 7);
  EXPECT_EQ(cursor.ledger().chunks(), 5);
}

TEST(ResumeCursorTest, ALaterCheckpointIsNewsEvenIfItsFramesAreNot) {
  ResumeCursor cursor = Opened();
  Accept(cursor, Acceptance());
  Accept(cursor, Frames(0, 2, 1));
  cursor.BeginCall(0);
  Accept(cursor, Acceptance());
  EXPECT_FALSE(Accept(cursor, WithCheckpoint(Frames(0, 2, 1), "a", 2, 20)).shown);
  EXPECT_EQ(cursor.progress(), Progress::kNews);
}

TEST(ResumeCursorTest, AnEmptyTokenIsNoCheckpoint) {
  ResumeCursor cursor = Opened();
  Accept(cursor, Acceptance());
  EXPECT_FALSE(Accept(cursor, WithCheckpoint(Frames(0, 2, 1), "", 0, 0)).checkpoint);
  EXPECT_EQ(cursor.checkpoint_bytes(), 0);
}

TEST(ResumeCursorTest, ErrorsOfTheLedgerArePassedOn) {
  ResumeCursor cursor = Opened();
  Accept(cursor, Acceptance("f"));
  v1::StreamingInferResponse gap = Frames(1, 2, 1);
  EXPECT_EQ(cursor.Accept(&gap).status().code(), absl::StatusCode::kDataLoss);
  cursor.BeginCall(0);
  v1::StreamingInferResponse other = Acceptance("g");
  EXPECT_EQ(cursor.Accept(&other).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace ese
