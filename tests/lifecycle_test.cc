// SPDX-License-Identifier: Apache-2.0
// Streams that their clients do not end. The server ends each of them and frees what it held.
#include <atomic>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "tests/stream_client.h"
#include "tests/test_server.h"

namespace ese {
namespace {

using std::chrono::milliseconds;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

ServingOptions WithLifetime(const LifetimeOptions& lifetime) {
  ServingOptions options;
  options.lifetime = lifetime;
  return options;
}

class LifecycleTest : public testing::Test {
 protected:
  LifecycleTest()
      : model_(MakeAudioModel("m", 1)),
        content_(MakeContent(*model_, ContentKind::kInt16, 20, 1)) {}

  size_t Bytes(int frames) const { return frames * content_.sample_bytes; }

  const std::shared_ptr<const Model> model_;
  const StreamContent content_;
};

TEST_F(LifecycleTest, EndsACallWithoutAConfig) {
  TestServer server({model_}, 1, WithLifetime({.config_timeout = milliseconds(50)}));
  StreamClient silent(server.NewStub().get());
  const grpc::Status status = silent.Finish().status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(status.error_message(), HasSubstr("no config arrived within 0.05 s"));
  EXPECT_TRUE(server.server().WaitUntilIdle(std::chrono::seconds(30)));
}

TEST_F(LifecycleTest, AnIdleStreamGetsACheckpointAndResumesWithTheSameBits) {
  TestServer server({model_}, 1, WithLifetime({.idle_timeout = milliseconds(100)}));
  const auto stub = server.NewStub();
  StreamClient idle(stub.get());
  ASSERT_TRUE(idle.SendConfig(content_.config));
  ASSERT_TRUE(idle.SendChunk(content_.bytes.substr(0, Bytes(7))));
  const StreamOutcome first = idle.Finish();
  EXPECT_EQ(first.status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_THAT(first.status.error_message(), HasSubstr("was idle for 0.1 s"));
  EXPECT_EQ(first.checkpoint.frames(), 7);
  EXPECT_EQ(server.open_streams(), 0);
  JoinedOutcome joined;
  joined.Add(first, /*last=*/false);
  const auto config = ResumeFrom(content_.config, first.checkpoint);
  joined.Add(RunStream(stub.get(), config, {content_.bytes.substr(Bytes(7))}), /*last=*/true);
  joined.ExpectAnswersOf(content_);
}

TEST_F(LifecycleTest, SendsAnOldStreamElsewhereEvenIfItIsActive) {
  TestServer server({model_}, 1, WithLifetime({.max_age = milliseconds(200)}));
  StreamClient old(server.NewStub().get());
  const std::jthread writer([&] {
    bool ok = old.SendConfig(content_.config);
    while (ok) ok = old.SendChunk(content_.bytes.substr(0, Bytes(1)));
  });
  const StreamOutcome outcome = old.Finish();
  EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(outcome.status.error_message(), HasSubstr("0.2 s old"));
  EXPECT_EQ(outcome.checkpoints, 1);
  EXPECT_EQ(outcome.checkpoint.frames(), outcome.frames);
}

TEST_F(LifecycleTest, DisconnectsAClientThatNeverReads) {
  const auto wide = RandomModel({.units = 2000});
  TestServer server(
      {wide}, 1,
      WithLifetime({.idle_timeout = milliseconds(100), .leave_time = milliseconds(100)}));
  const StreamContent content = MakeContent(*wide, ContentKind::kInt16, 1500, 1);
  const auto stub = server.NewStub();
  StreamClient slow(stub.get());
  ASSERT_TRUE(slow.SendConfig(content.config));
  ASSERT_TRUE(slow.SendChunk(content.bytes));
  EXPECT_TRUE(Eventually([&] { return server.open_streams() == 1; }));
  EXPECT_TRUE(server.server().WaitUntilIdle(std::chrono::seconds(30)));
  EXPECT_EQ(server.open_streams(), 0);
  EXPECT_FALSE(slow.Finish().status.ok());
}

TEST_F(LifecycleTest, ThousandsOfCancelsThatRaceWithCompletionsFreeEveryStreamOnce) {
  ServingOptions options;
  options.loops = 2;
  options.scheduler.max_streams = 64;
  TestServer server({model_}, 2, options);
  constexpr int kThreads = 4;
  constexpr int kRounds = 500;
  std::atomic<int> finished = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        const auto stub = server.NewStub();
        for (int i = 0; i < kRounds; ++i) {
          StreamClient stream(stub.get());
          stream.SendConfig(content_.config);
          stream.SendChunk(content_.bytes.substr(0, Bytes(1 + i % 20)));
          if (i % 3 == 0) stream.HalfClose();
          if (i % 5 == 0) stream.ReadUntilChunksDone(1);
          stream.Cancel();
          stream.Finish();
          ++finished;
        }
      });
    }
  }
  EXPECT_EQ(finished, kThreads * kRounds);
  EXPECT_TRUE(Eventually([&] { return server.open_streams() == 0; }));
  EXPECT_TRUE(server.server().WaitUntilIdle(std::chrono::seconds(30)));
  EXPECT_THAT(server.metrics().Render(),
              ContainsRegex("ese_streams\\{model=\"m\",version=\"[0-9a-f]{8}\"\\} 0"));
}

}  // namespace
}  // namespace ese
