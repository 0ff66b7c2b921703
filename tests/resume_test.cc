// SPDX-License-Identifier: Apache-2.0
// Checkpoints over the wire. A stream that was stopped anywhere continues on another server with
// the bits that it would have had, and bad checkpoints are refused.
#include <atomic>
#include <random>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/stream_client.h"
#include "tests/temp_folder.h"
#include "tests/test_server.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

// Sends bytes [begin, end) of the content in random chunks.
void SendContent(StreamClient& stream, const StreamContent& content, size_t begin, size_t end,
                 std::mt19937& random) {
  while (begin < end) {
    const size_t samples = (end - begin) / content.sample_bytes;
    const size_t n = std::min<size_t>(1 + random() % 400, samples) * content.sample_bytes;
    ASSERT_TRUE(stream.SendChunk(content.bytes.substr(begin, n)));
    begin += n;
  }
}

class ResumeTest : public testing::Test {
 protected:
  ResumeTest()
      : model_(MakeAudioModel("m", 1)),
        first_({model_}, 2, WithKey()),
        second_({model_}, 1, WithKey()),
        stubs_{first_.NewStub(), second_.NewStub()} {}

  ServingOptions WithKey(char key = 'k') const {
    ServingOptions options;
    options.checkpoint_keys = {folder_.Write(std::string(1, key), std::string(32, key))};
    return options;
  }

  // Returns a checkpoint after `frames` frames of a stream that has ended since.
  v1::Checkpoint SomeCheckpoint(const StreamContent& content, int frames) {
    StreamClient stream(stubs_[0].get());
    EXPECT_TRUE(stream.SendConfig(content.config));
    EXPECT_TRUE(stream.SendChunk(content.bytes.substr(0, frames * content.sample_bytes)));
    EXPECT_TRUE(stream.RequestCheckpoint());
    stream.HalfClose();
    return stream.Finish().checkpoint;
  }

  void ExpectRefused(const v1::StreamingConfig& config, grpc::StatusCode code,
                     const std::string& message) {
    const StreamOutcome outcome = RunStream(stubs_[1].get(), config, {});
    EXPECT_EQ(outcome.status.error_code(), code) << outcome.status.error_message();
    EXPECT_THAT(outcome.status.error_message(), HasSubstr(message));
  }

  const TempFolder folder_{"resume_test"};
  const std::shared_ptr<const Model> model_;
  TestServer first_;
  TestServer second_;
  const std::unique_ptr<v1::SpeechInference::Stub> stubs_[2];
};

TEST_F(ResumeTest, AStreamCutAnywhereHasTheBitsOfAnUninterruptedStream) {
  std::mt19937 random(1);
  for (int round = 0; round < 30; ++round) {
    SCOPED_TRACE(round);
    const StreamContent content = MakeContent(*model_, kContentKinds[round % 3],
                                              20 + static_cast<int>(random() % 100), round);
    const size_t total = content.bytes.size();
    const int cuts = static_cast<int>(random() % 4);
    v1::StreamingConfig config = content.config;
    JoinedOutcome joined;
    size_t at = 0;
    for (int part = 0; part < cuts; ++part) {
      StreamClient stream(stubs_[part % 2].get());
      ASSERT_TRUE(stream.SendConfig(config));
      const size_t samples = (total - at) / content.sample_bytes;
      const size_t end = at + random() % (samples + 1) * content.sample_bytes;
      SendContent(stream, content, at, end, random);
      ASSERT_TRUE(stream.RequestCheckpoint());
      ASSERT_TRUE(stream.ReadUntilCheckpoints(1));
      if (random() % 2 == 0) stream.SendChunk(content.bytes.substr(0, content.sample_bytes));
      stream.Cancel();
      const StreamOutcome outcome = stream.Finish();
      // The server takes the stream again only after it has noticed that the call ended.
      ASSERT_TRUE(Eventually([&] { return first_.open_streams() + second_.open_streams() == 0; }));
      ASSERT_LE(outcome.checkpoint.content_bytes(), static_cast<int64_t>(end));
      joined.Add(outcome, /*last=*/false);
      at = outcome.checkpoint.content_bytes();
      config = ResumeFrom(content.config, outcome.checkpoint);
    }
    StreamClient stream(stubs_[cuts % 2].get());
    ASSERT_TRUE(stream.SendConfig(config));
    SendContent(stream, content, at, total, random);
    stream.HalfClose();
    const StreamOutcome outcome = stream.Finish();
    ASSERT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    joined.Add(outcome, /*last=*/true);
    joined.ExpectAnswersOf(content);
  }
}

TEST_F(ResumeTest, PeriodicCheckpointsComeEveryNthFrameAndAllCanBeResumed) {
  const StreamContent content = MakeContent(*model_, ContentKind::kAudio, 64, 1);
  v1::StreamingConfig config = content.config;
  config.set_checkpoint_every_frames(7);
  StreamClient stream(stubs_[0].get());
  ASSERT_TRUE(stream.SendConfig(config));
  ASSERT_TRUE(stream.SendChunk(content.bytes));
  stream.HalfClose();
  std::vector<StreamOutcome> at;
  while (stream.ReadUntilCheckpoints(static_cast<int>(at.size()) + 1)) {
    at.push_back(stream.outcome());
  }
  ExpectAnswersOf(content, stream.Finish());
  const auto frames = static_cast<int64_t>(content.log_posteriors.size()) / model_->num_units();
  ASSERT_EQ(static_cast<int64_t>(at.size()), frames / 7);
  for (size_t i = 0; i < at.size(); ++i) {
    SCOPED_TRACE(i);
    const v1::Checkpoint& checkpoint = at[i].checkpoint;
    EXPECT_EQ(checkpoint.frames(), 7 * static_cast<int64_t>(i + 1));
    const StreamOutcome rest = RunStream(stubs_[1].get(), ResumeFrom(content.config, checkpoint),
                                         {content.bytes.substr(checkpoint.content_bytes())});
    ASSERT_TRUE(rest.status.ok()) << rest.status.error_message();
    JoinedOutcome joined;
    joined.Add(at[i], /*last=*/false);
    joined.Add(rest, /*last=*/true);
    joined.ExpectAnswersOf(content);
  }
}

TEST_F(ResumeTest, ARequestBeforeAnyContentGetsACheckpointOfTheBeginning) {
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 10, 1);
  const v1::Checkpoint checkpoint = [&] {
    StreamClient stream(stubs_[0].get());
    EXPECT_TRUE(stream.SendConfig(content.config));
    EXPECT_TRUE(stream.RequestCheckpoint());
    EXPECT_TRUE(stream.RequestCheckpoint());
    EXPECT_TRUE(stream.ReadUntilCheckpoints(2));
    stream.HalfClose();
    return stream.Finish().checkpoint;
  }();
  EXPECT_EQ(checkpoint.frames(), 0);
  EXPECT_EQ(checkpoint.content_bytes(), 0);
  ExpectAnswersOf(content, RunStream(stubs_[1].get(), ResumeFrom(content.config, checkpoint),
                                     content.Chunks(1)));
}

TEST_F(ResumeTest, ManyRequestsAreAllAnsweredAndDoNotDisturbTheStream) {
  const StreamContent content = MakeContent(*model_, ContentKind::kFloat32, 100, 1);
  StreamClient stream(stubs_[0].get());
  constexpr int kRequests = 500;
  const std::jthread writer([&] {
    stream.SendConfig(content.config);
    for (int i = 0; i < kRequests; ++i) stream.RequestCheckpoint();
    stream.SendChunk(content.bytes);
    stream.HalfClose();
  });
  const StreamOutcome outcome = stream.Finish();
  ExpectAnswersOf(content, outcome);
  EXPECT_EQ(outcome.checkpoints, kRequests);
}

TEST_F(ResumeTest, AStreamCannotBeResumedTwiceAtOnce) {
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 10, 1);
  const v1::StreamingConfig config = ResumeFrom(content.config, SomeCheckpoint(content, 5));
  {
    StreamClient open(stubs_[1].get());
    ASSERT_TRUE(open.SendConfig(config));
    ASSERT_TRUE(open.RequestCheckpoint());
    ASSERT_TRUE(open.ReadUntilCheckpoints(1));
    ExpectRefused(config, grpc::StatusCode::ALREADY_EXISTS, "already open on this server");
    open.HalfClose();
    EXPECT_TRUE(open.Finish().status.ok());
  }
  EXPECT_TRUE(RunStream(stubs_[1].get(), config, {}).status.ok());
}

TEST_F(ResumeTest, AStreamThatIsStillOpenCannotBeResumed) {
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 10, 1);
  StreamClient open(stubs_[1].get());
  ASSERT_TRUE(open.SendConfig(content.config));
  ASSERT_TRUE(open.RequestCheckpoint());
  ASSERT_TRUE(open.ReadUntilCheckpoints(1));
  const auto config = ResumeFrom(content.config, open.outcome().checkpoint);
  ExpectRefused(config, grpc::StatusCode::ALREADY_EXISTS, "already open on this server");
  open.Cancel();
  EXPECT_EQ(open.Finish().status.error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(Eventually([&] { return RunStream(stubs_[1].get(), config, {}).status.ok(); }));
}

TEST_F(ResumeTest, BadTokensAreRefused) {
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 10, 1);
  const v1::Checkpoint good = SomeCheckpoint(content, 5);
  const auto expect_refused = [&](const std::string& token, grpc::StatusCode code,
                                  const std::string& message) {
    v1::StreamingConfig config = content.config;
    config.set_resume_token(token);
    ExpectRefused(config, code, message);
  };
  expect_refused("garbage", grpc::StatusCode::INVALID_ARGUMENT, "is not a checkpoint");
  expect_refused(good.token().substr(0, good.token().size() - 1),
                 grpc::StatusCode::INVALID_ARGUMENT, "truncated");
  std::string forged = good.token();
  forged[forged.size() / 2] ^= 1;
  expect_refused(forged, grpc::StatusCode::PERMISSION_DENIED, "altered");
  v1::StreamingConfig config = ResumeFrom(content.config, good);
  config.set_return_units(!config.return_units());
  ExpectRefused(config, grpc::StatusCode::INVALID_ARGUMENT, "a different input");
}

TEST_F(ResumeTest, AServerWithAnotherKeyOrModelRefuses) {
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 10, 1);
  const auto config = ResumeFrom(content.config, SomeCheckpoint(content, 5));
  TestServer other_key({model_}, 1, WithKey('o'));
  EXPECT_EQ(RunStream(other_key.NewStub().get(), config, {}).status.error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  TestServer other_model({MakeAudioModel("m", 2)}, 1, WithKey());
  const auto status = RunStream(other_model.NewStub().get(), config, {}).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("this server does not have"));
}

// The invariant of a drain: every frame is answered exactly once, including those in progress.
TEST_F(ResumeTest, StreamsWithCheckpointsMoveWhenTheirServerDrains) {
  constexpr int kStreams = 24;
  std::vector<StreamContent> contents;
  for (int i = 0; i < kStreams; ++i) {
    contents.push_back(MakeContent(*model_, kContentKinds[i % 3], 60 + i, i));
    contents.back().config.set_checkpoint_every_frames(1000);
  }
  std::vector<StreamOutcome> halves(kStreams);
  std::atomic<int> streaming = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kStreams; ++i) {
      threads.emplace_back([&, i] {
        StreamClient stream(stubs_[0].get());
        const std::jthread writer([&] {
          // Keeps sending until the call ends, no matter how much of it the server accepts.
          bool ok = stream.SendConfig(contents[i].config);
          const std::string& bytes = contents[i].bytes;
          for (size_t at = 0; ok && at < bytes.size(); at += contents[i].sample_bytes) {
            ok = stream.SendChunk(bytes.substr(at, contents[i].sample_bytes));
            if (at == 0) ++streaming;
          }
        });
        halves[i] = stream.Finish();
      });
    }
    EXPECT_TRUE(Eventually([&] { return streaming == kStreams; }));
    first_.server().StartDrain();
    EXPECT_TRUE(first_.server().WaitUntilIdle(std::chrono::seconds(30)));
  }
  for (int i = 0; i < kStreams; ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(halves[i].status.error_code(), grpc::StatusCode::UNAVAILABLE);
    JoinedOutcome joined;
    v1::StreamingConfig config = contents[i].config;
    size_t at = 0;
    if (halves[i].checkpoints > 0) {  // otherwise it was refused before its config was read
      EXPECT_EQ(halves[i].checkpoint.frames(), halves[i].frames)
          << "the checkpoint is not after the last answered frame";
      joined.Add(halves[i], /*last=*/false);
      config = ResumeFrom(config, halves[i].checkpoint);
      at = halves[i].checkpoint.content_bytes();
    }
    joined.Add(RunStream(stubs_[1].get(), config, {contents[i].bytes.substr(at)}), /*last=*/true);
    joined.ExpectAnswersOf(contents[i]);
  }
}

TEST_F(ResumeTest, StreamsWithoutCheckpointsAreHandedOverWhenTheServerStops) {
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 20, 1);
  StreamClient stream(stubs_[0].get());
  ASSERT_TRUE(stream.Begin(content.config, content.bytes.substr(0, 7 * content.sample_bytes)));
  first_.server().Stop();
  const StreamOutcome half = stream.Finish();
  EXPECT_EQ(half.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  ASSERT_EQ(half.checkpoints, 1);
  EXPECT_EQ(half.checkpoint.frames(), 7);
  JoinedOutcome joined;
  joined.Add(half, /*last=*/false);
  joined.Add(RunStream(stubs_[1].get(), ResumeFrom(content.config, half.checkpoint),
                       {content.bytes.substr(half.checkpoint.content_bytes())}),
             /*last=*/true);
  joined.ExpectAnswersOf(content);
}

}  // namespace
}  // namespace ese
