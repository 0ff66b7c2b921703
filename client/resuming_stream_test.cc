// SPDX-License-Identifier: Apache-2.0
#include "client/resuming_stream.h"

#include <thread>

#include "base/retry_after.h"
#include "client/content.h"
#include "client/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const grpc::Status kBroken(grpc::StatusCode::UNAVAILABLE, "scripted break");

ResumingClientOptions Options(std::vector<std::string> addresses) {
  ResumingClientOptions options;
  options.addresses = std::move(addresses);
  options.timeout = std::chrono::minutes(2);
  options.checkpoint_every_frames = 2;
  options.reconnect = {.give_up_after = std::chrono::minutes(2),
                       .first_wait = std::chrono::milliseconds(1),
                       .longest_wait = std::chrono::milliseconds(10)};
  return options;
}

// Chunks of three frames and a half, every byte different from its neighbours.
std::vector<std::string> Chunks(int count) {
  std::vector<std::string> chunks;
  unsigned value = 1;
  for (int i = 0; i < count; ++i) {
    std::string chunk(count == i + 1 ? 4 * 96 - 48 * (i % 2) : 3 * 96 + 48, '\0');
    for (char& c : chunk) c = static_cast<char>((value = value * 1103515245 + 12345) >> 16);
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

struct Outcome {
  absl::Status status;
  std::string posteriors;
  int64_t frames = 0;
  int64_t chunks_done = 0;
  int models = 0;
  int finals = 0;
  int64_t resumed = 0;
};

// What the user gets. Fails if frames do not follow one another.
Outcome Play(const ResumingClient& client, const std::vector<std::string>& chunks) {
  v1::StreamingConfig config = MakeConfig(FakeModel(), InputKind::kFeatures);
  config.set_return_posteriors(true);
  const std::unique_ptr<ResumingStream> stream = client.Open(config);
  std::thread sender([&] {
    for (const std::string& chunk : chunks) {
      if (!stream->Send(chunk).ok()) return;
    }
    (void)stream->HalfClose();
  });
  Outcome outcome;
  v1::StreamingInferResponse response;
  while (true) {
    const absl::StatusOr<bool> more = stream->Receive(&response);
    outcome.status = more.status();
    if (!more.ok() || !*more) break;
    EXPECT_FALSE(response.has_checkpoint());
    if (response.num_frames() > 0) {
      EXPECT_EQ(response.first_frame(), outcome.frames);
    }
    EXPECT_GE(response.chunks_done(), outcome.chunks_done);
    outcome.posteriors += response.log_posteriors();
    outcome.frames += response.num_frames();
    outcome.chunks_done = response.chunks_done();
    outcome.models += response.has_model();
    outcome.finals += response.is_final();
  }
  sender.join();
  outcome.resumed = stream->resumed();
  return outcome;
}

Outcome Play(const ResumingClientOptions& options, const std::vector<std::string>& chunks) {
  const auto client = ResumingClient::Connect(options);
  EXPECT_TRUE(client.ok()) << client.status();
  return Play(**client, chunks);
}

Outcome Undisturbed(const std::vector<std::string>& chunks) {
  FakeServer server;
  return Play(Options({server.address()}), chunks);
}

void ExpectSame(const Outcome& outcome, const Outcome& undisturbed) {
  EXPECT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(outcome.posteriors, undisturbed.posteriors);
  EXPECT_EQ(outcome.frames, undisturbed.frames);
  EXPECT_EQ(outcome.chunks_done, undisturbed.chunks_done);
  EXPECT_EQ(outcome.models, 1);
  EXPECT_EQ(outcome.finals, 1);
}

TEST(ResumingStreamTest, Undisturbed) {
  const std::vector<std::string> chunks = Chunks(10);
  const Outcome outcome = Undisturbed(chunks);
  ExpectSame(outcome, outcome);
  EXPECT_EQ(outcome.frames, 35);
  EXPECT_EQ(outcome.posteriors.size(), 35u * 8);
  EXPECT_EQ(outcome.chunks_done, 10);
  EXPECT_EQ(outcome.resumed, 0);
}

TEST(ResumingStreamTest, CutAtEveryResponse) {
  const std::vector<std::string> chunks = Chunks(8);
  const Outcome undisturbed = Undisturbed(chunks);
  for (int at = 1; at <= 10; ++at) {  // 8 answers, the final response, the status
    SCOPED_TRACE(at);
    FakeServer server({.fail_at_response = at, .failure = kBroken, .failing_calls = 1});
    const Outcome outcome = Play(Options({server.address()}), chunks);
    ExpectSame(outcome, undisturbed);
    EXPECT_EQ(outcome.resumed, at <= 9 ? 1 : 0);
  }
}

TEST(ResumingStreamTest, CutAgainAndAgain) {
  const std::vector<std::string> chunks = Chunks(20);
  FakeServer server({.fail_at_response = 4, .failure = kBroken});  // after three answers
  const Outcome outcome = Play(Options({server.address()}), chunks);
  ExpectSame(outcome, Undisturbed(chunks));
  EXPECT_GE(outcome.resumed, 7);
}

TEST(ResumingStreamTest, CallsThatBringNothingNewAreNotTriedForEver) {
  FakeServer server({.fail_at_response = 1, .failure = kBroken});  // accepts and then breaks
  ResumingClientOptions options = Options({server.address()});
  options.reconnect.give_up_after = std::chrono::milliseconds(30);
  EXPECT_EQ(Play(options, Chunks(3)).status.code(), absl::StatusCode::kUnavailable);
}

TEST(ResumingStreamTest, WhatIsSentAgainGoesOnAtTheCheckpoint) {
  const std::vector<std::string> chunks = Chunks(4);
  FakeServer server({.fail_at_response = 3, .failure = kBroken, .failing_calls = 1});
  ExpectSame(Play(Options({server.address()}), chunks), Undisturbed(chunks));
  ASSERT_THAT(server.calls(), SizeIs(2));
  EXPECT_EQ(server.calls()[0].config.resume_token(), "");
  EXPECT_EQ(server.calls()[0].config.checkpoint_every_frames(), 2u);
  EXPECT_THAT(server.calls()[1].config.resume_token(), HasSubstr("key:7:672:"));
  std::string all;
  for (const std::string& chunk : chunks) all += chunk;
  EXPECT_EQ(server.calls()[1].content, all.substr(672));
}

TEST(ResumingStreamTest, RestartsFromTheBeginningBeforeTheFirstCheckpoint) {
  const std::vector<std::string> chunks = Chunks(6);
  FakeServer server(
      {.fail_at_response = 5, .failure = kBroken, .failing_calls = 1, .checkpoints = false});
  ExpectSame(Play(Options({server.address()}), chunks), Undisturbed(chunks));
  EXPECT_EQ(server.calls()[1].config.resume_token(), "");
}

TEST(ResumingStreamTest, ADrainMovesTheStreamToTheOtherServer) {
  const std::vector<std::string> chunks = Chunks(12);
  const Outcome undisturbed = Undisturbed(chunks);
  for (int at = 1; at <= 12; ++at) {
    SCOPED_TRACE(at);
    FakeServer drains({.drain_after_chunks = at});
    FakeServer other;
    ResumingClientOptions options = Options({drains.address(), other.address()});
    options.checkpoint_every_frames = 0;  // except at the drain
    const Outcome outcome = Play(options, chunks);
    ExpectSame(outcome, undisturbed);
    EXPECT_EQ(outcome.resumed, 1);
    ASSERT_THAT(other.calls(), SizeIs(1));
    EXPECT_LT(other.calls()[0].content.size(), 12u * 336 - at * 336 + 96);
  }
}

TEST(ResumingStreamTest, AServerThatStopsIsLeft) {
  const std::vector<std::string> chunks = Chunks(200);
  FakeServer stops;
  FakeServer other;
  std::thread stopper([&] {
    stops.AwaitChunks(20);
    stops.Stop();
  });
  ResumingClientOptions options = Options({stops.address(), other.address()});
  options.max_kept_bytes = 8 * 336;  // so that the stream has not been sent entirely by then
  ExpectSame(Play(options, chunks), Undisturbed(chunks));
  stopper.join();
}

TEST(ResumingStreamTest, TheFirstServerThatCanBeReachedIsUsed) {
  const std::vector<std::string> chunks = Chunks(3);
  FakeServer server;
  ExpectSame(Play(Options({DeadAddress(), server.address()}), chunks), Undisturbed(chunks));
}

TEST(ResumingStreamTest, NoServerCanBeReached) {
  const std::string dead = DeadAddress();
  const std::string other = DeadAddress();
  const absl::Status status = ResumingClient::Connect(Options({dead, other})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("nothing listens at " + dead),
                                                   HasSubstr("nothing listens at " + other)));
  EXPECT_EQ(ResumingClient::Connect(Options({})).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ResumingStreamTest, AFullServerIsLeftForAnother) {
  const std::vector<std::string> chunks = Chunks(3);
  FakeServer full({.refusal = {grpc::StatusCode::UNAVAILABLE, "server is full"}});
  FakeServer other;
  ExpectSame(Play(Options({full.address(), other.address()}), chunks), Undisturbed(chunks));
  const Outcome outcome = Play(Options({full.address()}), chunks);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("server is full"));
}

TEST(ResumingStreamTest, ATokenOfAnotherKeyIsRefused) {
  const std::vector<std::string> chunks = Chunks(6);
  FakeServer drains({.drain_after_chunks = 2});
  FakeServer foreign({.key = "another"});
  FakeServer other;
  const Outcome moved =
      Play(Options({drains.address(), foreign.address(), other.address()}), chunks);
  ExpectSame(moved, Undisturbed(chunks));

  FakeServer drains_too({.drain_after_chunks = 2});
  ResumingClientOptions options = Options({drains_too.address(), foreign.address()});
  options.reconnect.give_up_after = std::chrono::milliseconds(30);
  const Outcome refused = Play(options, chunks);
  EXPECT_FALSE(refused.status.ok());
  EXPECT_EQ(refused.chunks_done, 2);
}

TEST(ResumingStreamTest, OtherErrorsAreTheUsers) {
  FakeServer server({.fail_at_response = 3,
                     .failure = {grpc::StatusCode::INVALID_ARGUMENT, "scripted bad frame"}});
  FakeServer other;
  const Outcome outcome = Play(Options({server.address(), other.address()}), Chunks(6));
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(outcome.chunks_done, 2);
  EXPECT_THAT(other.calls(), SizeIs(0));
}

TEST(ResumingStreamTest, GivesUpAfterItsTime) {
  FakeServer server({.drain_after_chunks = 2});
  ResumingClientOptions options = Options({server.address()});
  options.reconnect.give_up_after = std::chrono::milliseconds(30);
  const Outcome outcome = Play(options, Chunks(6));
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(outcome.status.message()),
              HasSubstr("no server continued the stream within 0.03 s"));
}

TEST(ResumingStreamTest, SendingWaitsForACheckpointAtTheBound) {
  const std::vector<std::string> chunks = Chunks(50);
  FakeServer server;
  ResumingClientOptions options = Options({server.address()});
  options.max_kept_bytes = 3 * 96;
  ExpectSame(Play(options, chunks), Undisturbed(chunks));
}

TEST(ResumingStreamTest, WithoutCheckpointsTheBoundEndsTheKeepingAndNotTheStream) {
  const std::vector<std::string> chunks = Chunks(50);
  FakeServer server({.checkpoints = false});
  ResumingClientOptions options = Options({server.address()});
  options.max_kept_bytes = 3 * 336;
  ExpectSame(Play(options, chunks), Undisturbed(chunks));
  // A break after that ends the stream, with the reason.
  FakeServer breaks({.fail_at_response = 20, .failure = kBroken, .checkpoints = false});
  options.addresses = {breaks.address()};
  const Outcome outcome = Play(options, chunks);
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(outcome.status.message()), HasSubstr("gave no checkpoint"));
}

TEST(ResumingStreamTest, CancelEndsTheWaitForAServer) {
  FakeServer server({.drain_after_chunks = 1});
  ResumingClientOptions options = Options({server.address()});
  options.reconnect = {.give_up_after = std::chrono::hours(1),
                       .first_wait = std::chrono::hours(1),
                       .longest_wait = std::chrono::hours(1)};
  const auto client = ResumingClient::Connect(options);
  ASSERT_TRUE(client.ok()) << client.status();
  const auto stream = (*client)->Open(MakeConfig(FakeModel(), InputKind::kFeatures));
  ASSERT_TRUE(stream->Send(std::string(96, 'x')).ok());
  std::thread other([&] {
    server.AwaitChunks(1);
    stream->Cancel();
  });
  v1::StreamingInferResponse response;
  absl::StatusOr<bool> more = true;
  while (more.ok()) more = stream->Receive(&response);
  EXPECT_EQ(more.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(stream->Send("xx").code(), absl::StatusCode::kCancelled);
  other.join();
}

TEST(ResumingStreamTest, DestructionWithUnreadResponsesEnds) {
  FakeServer server;
  const auto client = ResumingClient::Connect(Options({server.address()}));
  ASSERT_TRUE(client.ok()) << client.status();
  const auto stream = (*client)->Open(MakeConfig(FakeModel(), InputKind::kFeatures));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(stream->Send(std::string(96, 'x')).ok());
  server.AwaitChunks(10);
}

TEST(RetryAfterTest, IsReadFromTheTrailingMetadata) {
  FakeServer server(
      {.refusal = {grpc::StatusCode::UNAVAILABLE, "server is full"}, .retry_after_ms = 250});
  const auto client = SpeechClient::Connect({server.address(), std::chrono::minutes(2)});
  ASSERT_TRUE(client.ok()) << client.status();
  const auto stream = (*client)->Open(MakeConfig(FakeModel(), InputKind::kFeatures));
  v1::StreamingInferResponse response;
  EXPECT_EQ(RetryAfter(stream->Receive(&response).status()), std::chrono::milliseconds(250));
  EXPECT_EQ(RetryAfter(absl::OkStatus()), std::nullopt);
}

}  // namespace
}  // namespace ese
