// SPDX-License-Identifier: Apache-2.0
// Many clients break the rules at once. Each one is refused or held back, and the server then frees
// what it held. Meanwhile a well-behaved stream continues and gets its own bits.
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tests/bystander.h"
#include "tests/raw_http2_client.h"

namespace ese {
namespace {

class BadInputTest : public BystanderTest {
 protected:
  bool Shows(const std::string& metric) const {
    return server_->metrics().Render().find("\n" + metric + "\n") != std::string::npos;
  }
  // Makes a call that ends without a config.
  void WasteACall() {
    StreamClient call(stub_.get());
    call.HalfClose();
    EXPECT_FALSE(call.Finish().status.ok());
  }
  // Runs a stream on a server that has one place besides the bystander's. The place may still
  // belong to the previous stream for a moment after that has ended.
  StreamOutcome RunAloneUntilAdmitted() {
    StreamOutcome outcome;
    EXPECT_TRUE(Eventually([&] {
      outcome = RunStream(stub_.get(), audio_.config, {audio_.bytes});
      return outcome.status.error_code() != grpc::StatusCode::UNAVAILABLE;
    }));
    return outcome;
  }
};

TEST_F(BadInputTest, ServesFloodsOfTinyChunks) {
  Start();
  const auto flood = [&] {
    StreamClient stream(stub_.get());
    const std::jthread writer([&] {
      bool ok = stream.SendConfig(audio_.config);
      bystander_->RepeatForAnswers(50, [&] {
        for (int i = 0; ok && i < 100; ++i) ok = stream.SendChunk(std::string(2, '\1'));
      });
      EXPECT_TRUE(ok);
      stream.HalfClose();
    });
    const StreamOutcome outcome = stream.Finish();
    EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    EXPECT_EQ(outcome.defect, "");
    EXPECT_GE(outcome.chunks_done, 100);
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(flood);
  }
  ExpectAllFree();
}

TEST_F(BadInputTest, RefusesHugeChunks) {
  Start();
  bystander_->RepeatForAnswers(50, [&] {
    const StreamOutcome outcome =
        RunStream(stub_.get(), content_.config, {content_.bytes, std::string(8 << 20, '\0')});
    EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  });
  ExpectAllFree();
}

TEST_F(BadInputTest, HoldsBackClientsThatNeverRead) {
  Start();
  const std::string chunk(64 << 10, '\0');
  const size_t whole = chunk.size() / content_.sample_bytes * content_.sample_bytes;
  {
    std::vector<std::unique_ptr<StreamClient>> streams;
    std::atomic<int> sent = 0;  // must outlive the writers
    std::vector<std::jthread> writers;
    for (int i = 0; i < 8; ++i) {
      streams.push_back(std::make_unique<StreamClient>(stub_.get()));
      writers.emplace_back([&, stream = streams.back().get()] {
        for (bool ok = stream->SendConfig(content_.config); ok; ++sent) {
          ok = stream->SendChunk(chunk.substr(0, whole));
        }
      });
    }
    EXPECT_TRUE(EventuallyStandsStill(sent));
    bystander_->AwaitAnswers(100);
    for (const auto& stream : streams) stream->Cancel();
  }
  ExpectAllFree();
}

TEST_F(BadInputTest, EndsCallsThatNeverSendAConfig) {
  ServingOptions options;
  options.lifetime.config_timeout = std::chrono::milliseconds(50);
  Start(options);
  for (int round = 0; round < 5; ++round) {
    std::vector<std::unique_ptr<StreamClient>> silent;
    for (int i = 0; i < 50; ++i) silent.push_back(std::make_unique<StreamClient>(stub_.get()));
    bystander_->AwaitAnswers(10);
    for (const auto& stream : silent) {
      EXPECT_EQ(stream->Finish().status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    }
  }
  ExpectAllFree();
}

TEST_F(BadInputTest, CallsWithoutAConfigTakeNoPlacesAndTheOldestMakesWay) {
  constexpr int kWaiting = 20, kCalls = 200;
  ServingOptions options;
  options.scheduler.max_streams = 2;  // one is the bystander's
  options.max_waiting_calls = kWaiting;
  options.lifetime.config_timeout = std::chrono::minutes(5);
  Start(options);
  bystander_->AwaitAnswers(1);
  std::vector<std::unique_ptr<StreamClient>> silent;
  for (int i = 0; i < kCalls; ++i) {
    silent.push_back(std::make_unique<StreamClient>(stub_.get()));
    if (i % 20 == 0) ExpectAnswersOf(audio_, RunAloneUntilAdmitted());
  }
  for (int i = 0; i < kCalls - 2 * kWaiting; ++i) {
    ExpectError(silent[i]->Finish().status, grpc::StatusCode::RESOURCE_EXHAUSTED,
                "(--max-waiting-calls); send the config as soon as the call starts");
  }
  for (const auto& call : silent) call->Cancel();
  silent.clear();
  ExpectAllFree();
}

TEST_F(BadInputTest, CallsWithoutAConfigCountAsWasted) {
  ServingOptions options;
  options.lifetime.config_timeout = std::chrono::milliseconds(50);
  Start(options);
  bystander_->AwaitAnswers(1);
  for (int i = 0; i < 10; ++i) {
    StreamClient silent(stub_.get());
    ExpectError(silent.Finish().status, grpc::StatusCode::DEADLINE_EXCEEDED, "no config");
  }
  StreamClient ended(stub_.get());
  ended.HalfClose();
  ExpectError(ended.Finish().status, grpc::StatusCode::FAILED_PRECONDITION, "send a request");
  EXPECT_TRUE(Eventually([&] { return Shows("ese_wasted_calls_total 11"); }));
  ExpectAnswersOf(audio_, RunStream(stub_.get(), audio_.config, {audio_.bytes}));
  ExpectAllFree();
  EXPECT_TRUE(Shows("ese_wasted_calls_total 11"));
}

TEST_F(BadInputTest, AClientThatWastesCallsForEverIsDisconnected) {
  ServingOptions options;
  options.max_connection_resets = 0.01;  // and 0.2 in a burst
  Start(options);
  bystander_->AwaitAnswers(1);
  WasteACall();
  EXPECT_TRUE(
      Eventually([&] { return Shows("ese_connections_closed_total{reason=\"wasted_calls\"} 1"); }));
  // Its next connection is served, and closed too if it goes on like this.
  ExpectAnswersOf(audio_, RunAloneUntilAdmitted());
  WasteACall();
  EXPECT_TRUE(
      Eventually([&] { return Shows("ese_connections_closed_total{reason=\"wasted_calls\"} 2"); }));
  ExpectAllFree();
}

TEST_F(BadInputTest, AClientThatCancelsAnsweredStreamsStaysConnected) {
  ServingOptions options;
  options.max_connection_resets = 0.01;
  Start(options);
  for (int i = 0; i < 30; ++i) {
    StreamClient stream(stub_.get());
    ASSERT_TRUE(stream.SendConfig(content_.config));
    ASSERT_TRUE(stream.SendChunk(content_.bytes.substr(0, content_.sample_bytes)));
    ASSERT_TRUE(stream.ReadUntilChunksDone(1));
    stream.Cancel();
  }
  ExpectAllFree();
  EXPECT_TRUE(Shows("ese_wasted_calls_total 0"));
  EXPECT_TRUE(Shows("ese_connections_closed_total{reason=\"wasted_calls\"} 0"));
}

TEST_F(BadInputTest, AClientThatFloodsTheServerWithFramesOfNoCallIsDisconnected) {
  Start();
  RawHttp2Client flood(server_->server().address());
  bystander_->AwaitAnswers(1);
  EXPECT_TRUE(Eventually([&] {
    flood.SendUselessFrames();
    return Shows("ese_connections_closed_total{reason=\"overhead\"} 1");
  }));
  ExpectAllFree();
}

TEST_F(BadInputTest, ContentAfterTheEndOfAStreamDoesNoHarm) {
  Start();
  v1::StreamingInferRequest config, chunk;
  *config.mutable_config() = content_.config;
  chunk.set_chunk(content_.bytes.substr(0, content_.sample_bytes));
  bystander_->RepeatForAnswers(50, [&] {
    RawHttp2Client client(server_->server().address());
    for (uint8_t stream = 1; stream < 9; stream += 2) {
      client.BeginCall(stream);
      client.SendMessage(stream, config, /*end=*/false);
      client.SendMessage(stream, chunk, /*end=*/true);
      for (int i = 0; i < 10; ++i) client.SendMessage(stream, chunk, /*end=*/i % 2 == 0);
    }
    client.Finish();
  });
  // They were ordinary streams until their ends.
  EXPECT_TRUE(Eventually([&] {
    return server_->metrics().Render().find("ese_streams_opened_total{model=\"m\"} 1\n") ==
           std::string::npos;
  }));
  ExpectAllFree();
}

TEST_F(BadInputTest, OnlyOneOfManyThatResumeTheSameStreamSucceeds) {
  Start();
  StreamClient original(stub_.get());
  ASSERT_TRUE(original.SendConfig(content_.config));
  ASSERT_TRUE(original.SendChunk(content_.bytes.substr(0, 5 * content_.sample_bytes)));
  ASSERT_TRUE(original.RequestCheckpoint());
  ASSERT_TRUE(original.ReadUntilCheckpoints(1));
  const auto config = ResumeFrom(content_.config, original.outcome().checkpoint);
  original.HalfClose();
  EXPECT_TRUE(original.Finish().status.ok());
  std::vector<std::unique_ptr<v1::SpeechInference::Stub>> stubs;
  for (int i = 0; i < 4; ++i) stubs.push_back(server_->NewStub());
  bystander_->RepeatForAnswers(30, [&] {
    std::vector<std::unique_ptr<StreamClient>> streams;
    for (int i = 0; i < 16; ++i) {
      streams.push_back(std::make_unique<StreamClient>(stubs[i % stubs.size()].get()));
    }
    std::atomic<int> resumed = 0, refused = 0;
    std::vector<std::jthread> threads;
    for (const auto& stream : streams) {
      threads.emplace_back([&, stream = stream.get()] {
        stream->SendConfig(config);
        stream->RequestCheckpoint();
        if (stream->ReadUntilCheckpoints(1)) {
          ++resumed;  // keeps the stream open until the others have been refused
        } else {
          EXPECT_EQ(stream->Finish().status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
          ++refused;
        }
      });
    }
    threads.clear();
    EXPECT_EQ(resumed, 1);
    EXPECT_EQ(refused, 15);
    for (const auto& stream : streams) stream->Cancel();
    EXPECT_TRUE(Eventually([&] { return server_->open_streams() <= 1; }));
  });
  ExpectAllFree();
}

}  // namespace
}  // namespace ese
