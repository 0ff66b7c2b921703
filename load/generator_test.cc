// SPDX-License-Identifier: Apache-2.0
// Runs the load generator against a scripted server. The runs last tenths of a second, and no test
// depends on how long anything takes.
#include "load/generator.h"

#include <sstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "load/testing.h"

namespace ese {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST(LoadTest, InRealTimeEachStreamSendsChunksOnItsOwnClock) {
  FakeServer server;
  const LoadReport report = Load(ShortRun(server));
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.accepted, 6);
  EXPECT_EQ(report.completed, 6);
  EXPECT_EQ(report.chunks_due, 6 * 10);  // 0.3 s of chunks of 30 ms, in any phase
  EXPECT_EQ(report.chunks_answered, report.chunks_due);
  EXPECT_EQ(report.latency.count(), report.chunks_due);
  EXPECT_EQ(report.rest.count(), report.chunks_due);
  EXPECT_GT(report.latency.Percentile(50), Duration(0));
  EXPECT_EQ(report.lag.count(), report.chunks_due);
  ASSERT_THAT(server.calls(), SizeIs(6));
  for (const FakeServer::Call& call : server.calls()) {
    EXPECT_EQ(call.content.size(), 10u * 24 * 4);
    EXPECT_TRUE(call.half_closed);
    EXPECT_FALSE(call.config.return_posteriors());
  }
}

TEST(LoadTest, FlatOutStreamsKeepAWindowOfUnansweredChunks) {
  FakeServer server;
  LoadOptions options = ShortRun(server);
  options.pace = LoadPace::kFlatOut;
  options.window = 1;
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.completed, 6);
  EXPECT_EQ(report.chunks_answered, report.chunks_due);
  EXPECT_GT(report.frames, 0);
  EXPECT_NEAR(report.realtime_streams, 0.03 * report.frames_per_s, 1e-6 * report.frames_per_s);
}

TEST(LoadTest, ARampOpensStreamsOneByOneAndIsNotMeasured) {
  FakeServer server;
  LoadOptions options = ShortRun(server);
  options.ramp = std::chrono::milliseconds(200);
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.completed, 6);
  EXPECT_EQ(report.chunks_due, 6 * 10);
  EXPECT_EQ(report.chunks_answered, 6 * 10);
  int64_t chunks = 0;
  for (const FakeServer::Call& call : server.calls()) chunks += call.chunks;
  EXPECT_GT(chunks, 6 * 10);
}

TEST(LoadTest, IdleStreamsSendOneChunkAndStayOpen) {
  FakeServer server;
  LoadOptions options = ShortRun(server);
  options.pace = LoadPace::kIdle;
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.completed, 6);
  EXPECT_EQ(report.chunks_answered, 6);
  for (const FakeServer::Call& call : server.calls()) {
    EXPECT_EQ(call.chunks, 1);
    EXPECT_TRUE(call.half_closed);
  }
}

TEST(LoadTest, ThreadsShareTheStreams) {
  FakeServer server;
  LoadOptions options = ShortRun(server);
  options.threads = 4;
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.completed, 6);
  EXPECT_EQ(report.chunks_answered, 6 * 10);
  EXPECT_EQ(report.connections, 4);
}

TEST(LoadTest, PlaysRecordingsAsAudioOverSeveralConnections) {
  FakeServer server;
  LoadOptions options = ShortRun(server);
  options.source.input = InputKind::kAudio;
  options.source.files = {TestRecording()};
  options.connections = 3;
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.connections, 3);
  for (const FakeServer::Call& call : server.calls()) EXPECT_EQ(call.content.size(), 10u * 960);
}

TEST(LoadTest, CountsRefusedStreamsByCode) {
  FakeServer server({.refusal = {grpc::StatusCode::UNAVAILABLE, "server is full"}});
  const LoadReport report = Load(ShortRun(server));
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.accepted, 0);
  EXPECT_EQ(report.chunks_answered, 0);
  ASSERT_THAT(report.errors, UnorderedElementsAre(Key("UNAVAILABLE")));
  EXPECT_EQ(report.errors.at("UNAVAILABLE").count, 6);
  EXPECT_THAT(report.errors.at("UNAVAILABLE").example, HasSubstr("server is full"));
}

TEST(LoadTest, StreamsThatAFullServerRefusesDoNotCountAsFailures) {
  FakeServer server(
      {.refusal = {grpc::StatusCode::UNAVAILABLE, "server is full"}, .retry_after_ms = 1000});
  const LoadReport report = Load(ShortRun(server));
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.refused.count, 6);
  EXPECT_THAT(report.refused.example, HasSubstr("server is full"));
  EXPECT_THAT(report.errors, IsEmpty());
}

TEST(LoadTest, StreamsSendTheirTenantAndPriority) {
  FakeServer server;
  LoadOptions options = ShortRun(server);
  options.tenant = "gold";
  options.priority = -3;
  EXPECT_TRUE(Load(options).ok());
  for (const auto& call : server.calls()) {
    EXPECT_EQ(call.config.tenant(), "gold");
    EXPECT_EQ(call.config.priority(), -3);
  }
}

TEST(LoadTest, CountsStreamsThatFailDuringTheRun) {
  FakeServer server({.fail_at_response = 4});
  const LoadReport report = Load(ShortRun(server));
  EXPECT_EQ(report.accepted, 6);
  EXPECT_EQ(report.completed, 0);
  EXPECT_EQ(report.chunks_answered, 6 * 3);
  EXPECT_EQ(report.errors.at("INTERNAL").count, 6);
}

TEST(LoadTest, TreatsOkWithoutAFinalResponseAsAnError) {
  FakeServer server({.forget_final = true});
  const LoadReport report = Load(ShortRun(server));
  EXPECT_EQ(report.completed, 0);
  EXPECT_THAT(report.errors.at("INTERNAL").example, HasSubstr("without answering all chunks"));
}

TEST(LoadTest, GivesUpOnASilentServer) {
  FakeServer server({.silent_after_chunks = 2});
  LoadOptions options = ShortRun(server);
  options.run_time = std::chrono::hours(1);  // ends earlier, because no stream is left
  options.timeout = kShortTimeout;
  const LoadReport report = Load(options);
  EXPECT_FALSE(report.ok());
  EXPECT_LT(report.chunks_answered, report.chunks_due);
  EXPECT_EQ(report.errors.at("DEADLINE_EXCEEDED").count, 6);
  // Each stream was given up because a chunk had waited too long, as the latencies show.
  EXPECT_GT(report.latency.max(), options.timeout);
}

TEST(LoadTest, GivesUpOnStreamsThatDoNotEndAfterTheLastChunk) {
  FakeServer server({.hang_at_end = true});
  LoadOptions options = ShortRun(server);
  options.timeout = kShortTimeout;
  const LoadReport report = Load(options);
  EXPECT_EQ(report.completed, 0);
  ASSERT_THAT(report.errors, UnorderedElementsAre(Key("DEADLINE_EXCEEDED")));
  EXPECT_EQ(report.errors.at("DEADLINE_EXCEEDED").count, 6);
}

TEST(LoadTest, AServerThatDisappearsEndsTheRun) {
  FakeServer server;
  LoadOptions options = ShortRun(server);
  options.run_time = std::chrono::hours(1);
  std::thread killer([&] {
    server.AwaitChunks(20);
    server.Stop();
  });
  const LoadReport report = Load(options);
  killer.join();
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.accepted, 6);
  EXPECT_EQ(report.completed, 0);
  EXPECT_GT(report.chunks_answered, 0);
  EXPECT_THAT(report.errors, Not(IsEmpty()));
}

TEST(LoadTest, StopEndsTheRunCleanly) {
  FakeServer server;
  LoadOptions options = ShortRun(server);
  options.run_time = std::chrono::hours(1);
  std::atomic<bool> stop{false};
  std::thread stopper([&] {
    server.AwaitChunks(20);
    stop = true;
  });
  std::ostringstream progress;
  const absl::StatusOr<LoadReport> report = RunLoad(options, stop, progress);
  stopper.join();
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->stopped);
  EXPECT_TRUE(report->ok());
  EXPECT_EQ(report->completed, 6);
  EXPECT_EQ(report->chunks_answered, report->chunks_due);
}

TEST(LoadTest, DoesNotRunWithoutAServerModelOrRecording) {
  const std::atomic<bool> stop{false};
  std::ostringstream progress;
  FakeServer server;
  LoadOptions options = ShortRun(server);
  options.addresses = {DeadAddress()};
  EXPECT_EQ(RunLoad(options, stop, progress).status().code(), absl::StatusCode::kUnavailable);
  options = ShortRun(server);
  options.model = "other";
  EXPECT_EQ(RunLoad(options, stop, progress).status().code(), absl::StatusCode::kNotFound);
  options = ShortRun(server);
  options.source.files = {"/nowhere/x.wav"};
  EXPECT_EQ(RunLoad(options, stop, progress).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(server.calls(), SizeIs(0));
}

}  // namespace
}  // namespace ese
