// SPDX-License-Identifier: Apache-2.0
#include "client/answer_ledger.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

v1::StreamingInferResponse Acceptance(const std::string& fingerprint = "f") {
  v1::StreamingInferResponse response;
  response.mutable_model()->set_fingerprint(fingerprint);
  return response;
}

// Frames [first, end), each with two bytes of posteriors and a unit.
v1::StreamingInferResponse Frames(int64_t first, int64_t end, int64_t chunks_done) {
  v1::StreamingInferResponse response;
  response.set_first_frame(first);
  response.set_num_frames(static_cast<int32_t>(end - first));
  response.set_chunks_done(chunks_done);
  for (int64_t i = first; i < end; ++i) {
    response.mutable_log_posteriors()->append(2, static_cast<char>('a' + i));
    response.add_units()->set_frame(i);
  }
  return response;
}

bool Accept(AnswerLedger& ledger, v1::StreamingInferResponse response) {
  const absl::StatusOr<bool> news = ledger.Accept(&response);
  EXPECT_TRUE(news.ok()) << news.status();
  return *news;
}

TEST(AnswerLedgerTest, OneCallIsShownAsItIs) {
  AnswerLedger ledger;
  ledger.BeginCall(0, 0);
  EXPECT_FALSE(ledger.ever_accepted());
  EXPECT_TRUE(Accept(ledger, Acceptance()));
  EXPECT_TRUE(ledger.call_accepted());
  EXPECT_TRUE(Accept(ledger, Frames(0, 3, 1)));
  EXPECT_TRUE(Accept(ledger, Frames(3, 3, 2)));  // a chunk that completed no frame
  EXPECT_TRUE(Accept(ledger, Frames(3, 4, 3)));
  EXPECT_EQ(ledger.frames(), 4);
  EXPECT_EQ(ledger.chunks(), 3);
  v1::StreamingInferResponse last = Frames(4, 4, 3);
  last.set_is_final(true);
  EXPECT_TRUE(Accept(ledger, last));
  EXPECT_TRUE(ledger.is_final());
}

TEST(AnswerLedgerTest, RepeatedFramesAreCutOff) {
  AnswerLedger ledger;
  ledger.BeginCall(0, 0);
  Accept(ledger, Acceptance());
  Accept(ledger, Frames(0, 5, 4));
  ledger.BeginCall(2, 1);  // from a checkpoint after two frames, within chunk 1
  EXPECT_FALSE(ledger.call_accepted());
  EXPECT_TRUE(ledger.ever_accepted());
  EXPECT_FALSE(Accept(ledger, Acceptance()));
  EXPECT_FALSE(Accept(ledger, Frames(2, 4, 1)));
  v1::StreamingInferResponse response = Frames(4, 7, 4);
  EXPECT_TRUE(*ledger.Accept(&response));
  EXPECT_EQ(response.first_frame(), 5);
  EXPECT_EQ(response.num_frames(), 2);
  EXPECT_EQ(response.log_posteriors(), "ffgg");
  ASSERT_EQ(response.units_size(), 2);
  EXPECT_EQ(response.units(0).frame(), 5);
  EXPECT_EQ(response.chunks_done(), 5);
}

TEST(AnswerLedgerTest, AnAnswerOfRepeatedFramesMayAnswerANewChunk) {
  AnswerLedger ledger;
  ledger.BeginCall(0, 0);
  Accept(ledger, Acceptance());
  Accept(ledger, Frames(0, 5, 0));
  ledger.BeginCall(0, 0);
  Accept(ledger, Acceptance());
  v1::StreamingInferResponse response = Frames(0, 5, 1);
  EXPECT_TRUE(*ledger.Accept(&response));
  EXPECT_EQ(response.num_frames(), 0);
  EXPECT_EQ(response.units_size(), 0);
  EXPECT_EQ(response.chunks_done(), 1);
}

TEST(AnswerLedgerTest, ChunksMayBeCountedByTheCallOrByTheStream) {
  for (const int64_t count : {0, 7}) {
    AnswerLedger ledger;
    ledger.BeginCall(0, 0);
    Accept(ledger, Acceptance());
    Accept(ledger, Frames(0, 5, 8));
    ledger.BeginCall(5, 7);
    v1::StreamingInferResponse acceptance = Acceptance();
    acceptance.set_chunks_done(count);
    Accept(ledger, acceptance);
    Accept(ledger, Frames(5, 6, count + 2));
    EXPECT_EQ(ledger.chunks(), 9);
  }
}

TEST(AnswerLedgerTest, MissingAndRepeatedFramesWithinACallAreErrors) {
  for (const int64_t first : {4, 2}) {
    AnswerLedger ledger;
    ledger.BeginCall(0, 0);
    Accept(ledger, Acceptance());
    Accept(ledger, Frames(0, 3, 1));
    v1::StreamingInferResponse response = Frames(first, 6, 2);
    EXPECT_EQ(ledger.Accept(&response).status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(AnswerLedgerTest, ACallThatBeginsPastTheCheckpointIsAnError) {
  AnswerLedger ledger;
  ledger.BeginCall(0, 0);
  Accept(ledger, Acceptance());
  ledger.BeginCall(3, 1);
  Accept(ledger, Acceptance());
  v1::StreamingInferResponse response = Frames(0, 1, 1);
  EXPECT_EQ(ledger.Accept(&response).status().code(), absl::StatusCode::kDataLoss);
}

TEST(AnswerLedgerTest, AnotherModelIsAnError) {
  AnswerLedger ledger;
  ledger.BeginCall(0, 0);
  Accept(ledger, Acceptance("f"));
  ledger.BeginCall(0, 0);
  v1::StreamingInferResponse response = Acceptance("g");
  EXPECT_EQ(ledger.Accept(&response).status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace ese
