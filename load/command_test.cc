// SPDX-License-Identifier: Apache-2.0
// Runs ese-load in this process against a scripted server. The runs last tenths of a second, and no
// test depends on how long anything takes.
#include "load/command.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "base/test_paths.h"
#include "client/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "load/generator.h"
#include "load/search.h"
#include "load/vanish.h"

namespace ese {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

const std::string kRecording = SourceDir() + "/tests/data/speech/vm-sorry.flac";

// A time limit for answers that never come. It is long enough to connect and be accepted on a busy
// machine.
constexpr Duration kShort = std::chrono::seconds(2);

LoadOptions Options(const FakeServer& server) {
  LoadOptions options;
  options.addresses = {server.address()};
  options.timeout = std::chrono::minutes(2);
  options.streams = 6;
  options.run_time = std::chrono::milliseconds(300);
  options.source.chunk_ms = 30;
  return options;
}

LoadReport Load(const LoadOptions& options, bool stopped = false) {
  const std::atomic<bool> stop{stopped};
  std::ostringstream progress;
  const absl::StatusOr<LoadReport> report = RunLoad(options, stop, progress);
  EXPECT_TRUE(report.ok()) << report.status();
  return *report;
}

// ---- RunLoad

TEST(LoadTest, InRealTimeEachStreamSendsChunksOnItsOwnClock) {
  FakeServer server;
  const LoadReport report = Load(Options(server));
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
  LoadOptions options = Options(server);
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
  LoadOptions options = Options(server);
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
  LoadOptions options = Options(server);
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
  LoadOptions options = Options(server);
  options.threads = 4;
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.completed, 6);
  EXPECT_EQ(report.chunks_answered, 6 * 10);
  EXPECT_EQ(report.connections, 4);
}

TEST(LoadTest, PlaysRecordingsAsAudioOverSeveralConnections) {
  FakeServer server;
  LoadOptions options = Options(server);
  options.source.input = InputKind::kAudio;
  options.source.files = {kRecording};
  options.connections = 3;
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.connections, 3);
  for (const FakeServer::Call& call : server.calls()) EXPECT_EQ(call.content.size(), 10u * 960);
}

TEST(LoadTest, CountsRefusedStreamsByCode) {
  FakeServer server({.refusal = {grpc::StatusCode::UNAVAILABLE, "server is full"}});
  const LoadReport report = Load(Options(server));
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
  const LoadReport report = Load(Options(server));
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.refused.count, 6);
  EXPECT_THAT(report.refused.example, HasSubstr("server is full"));
  EXPECT_THAT(report.errors, IsEmpty());
}

TEST(LoadTest, StreamsSendTheirTenantAndPriority) {
  FakeServer server;
  LoadOptions options = Options(server);
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
  const LoadReport report = Load(Options(server));
  EXPECT_EQ(report.accepted, 6);
  EXPECT_EQ(report.completed, 0);
  EXPECT_EQ(report.chunks_answered, 6 * 3);
  EXPECT_EQ(report.errors.at("INTERNAL").count, 6);
}

TEST(LoadTest, TreatsOkWithoutAFinalResponseAsAnError) {
  FakeServer server({.forget_final = true});
  const LoadReport report = Load(Options(server));
  EXPECT_EQ(report.completed, 0);
  EXPECT_THAT(report.errors.at("INTERNAL").example, HasSubstr("without answering all chunks"));
}

TEST(LoadTest, GivesUpOnASilentServer) {
  FakeServer server({.silent_after_chunks = 2});
  LoadOptions options = Options(server);
  options.run_time = std::chrono::hours(1);  // ends earlier, because no stream is left
  options.timeout = kShort;
  const LoadReport report = Load(options);
  EXPECT_FALSE(report.ok());
  EXPECT_LT(report.chunks_answered, report.chunks_due);
  EXPECT_EQ(report.errors.at("DEADLINE_EXCEEDED").count, 6);
  // Each stream was given up because a chunk had waited too long, as the latencies show.
  EXPECT_GT(report.latency.max(), options.timeout);
}

TEST(LoadTest, GivesUpOnStreamsThatDoNotEndAfterTheLastChunk) {
  FakeServer server({.hang_at_end = true});
  LoadOptions options = Options(server);
  options.timeout = kShort;
  const LoadReport report = Load(options);
  EXPECT_EQ(report.completed, 0);
  ASSERT_THAT(report.errors, UnorderedElementsAre(Key("DEADLINE_EXCEEDED")));
  EXPECT_EQ(report.errors.at("DEADLINE_EXCEEDED").count, 6);
}

TEST(LoadTest, AServerThatDisappearsEndsTheRun) {
  FakeServer server;
  LoadOptions options = Options(server);
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
  LoadOptions options = Options(server);
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

// ---- Breaks

const grpc::Status kBroken(grpc::StatusCode::UNAVAILABLE, "scripted break");

LoadOptions Resuming(const FakeServer& server) {
  LoadOptions options = Options(server);
  options.resume = true;
  options.checkpoint_every_frames = 2;
  options.verify = true;
  return options;
}

TEST(LoadTest, BrokenStreamsContinueWithTheSameBits) {
  FakeServer server({.fail_at_response = 5, .failure = kBroken, .failing_calls = 9});
  const LoadReport report = Load(Resuming(server));
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.completed, 6);
  EXPECT_EQ(report.breaks, 9);
  EXPECT_EQ(report.resumed, 9);
  EXPECT_EQ(report.resume.count(), 9);
  EXPECT_EQ(report.chunks_answered, report.chunks_due);
  EXPECT_TRUE(report.verified);
  EXPECT_EQ(report.frames_verified, 6 * 10);
  EXPECT_EQ(report.differing, 0);
}

TEST(LoadTest, ResumesWithinAChunk) {
  FakeServer server({.fail_at_response = 3, .failure = kBroken, .failing_calls = 6});
  LoadOptions options = Resuming(server);
  options.source.input = InputKind::kAudio;
  options.source.chunk_ms = 50;
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.resumed, 6);
  EXPECT_EQ(report.differing, 0);
}

TEST(LoadTest, ResumesStreamsOfCutConnections) {
  FakeServer server;
  LoadOptions options = Resuming(server);
  options.connections = 3;
  options.cut_every = std::chrono::milliseconds(40);
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.completed, 6);
  EXPECT_GT(report.cuts, 0);
  EXPECT_GT(report.resumed, 0);
  EXPECT_EQ(report.breaks, report.resumed);
  EXPECT_EQ(report.differing, 0);
}

TEST(LoadTest, StreamsOfADrainingServerContinueOnTheOther) {
  FakeServer drains({.drain_after_chunks = 4});
  FakeServer other;
  LoadOptions options = Resuming(drains);
  options.addresses.push_back(other.address());
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.resumed, 3);  // the streams that had begun there
  EXPECT_EQ(report.differing, 0);
}

TEST(LoadTest, FindsWrongPosteriors) {
  // The server resumes with the state of a new stream, so what follows differs.
  FakeServer server(
      {.fail_at_response = 5, .failure = kBroken, .failing_calls = 6, .forgets_state = true});
  const LoadReport report = Load(Resuming(server));
  EXPECT_EQ(report.completed, 6);
  EXPECT_EQ(report.differing, 6);
  EXPECT_FALSE(report.ok());
}

TEST(LoadTest, StreamsThatNoServerContinuesAreLost) {
  FakeServer server({.drain_after_chunks = 4});
  LoadOptions options = Resuming(server);
  options.verify = false;
  options.timeout = kShort;
  const LoadReport report = Load(options);
  EXPECT_EQ(report.completed, 0);
  EXPECT_EQ(report.breaks, 6);
  EXPECT_EQ(report.resumed, 0);
}

// ---- Vanishing, searching

TEST(LoadTest, ClientsVanish) {
  FakeServer server;
  const std::atomic<bool> stop{false};
  const absl::StatusOr<VanishReport> report = RunVanish(Options(server), 40, stop);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->vanished, 40);
  EXPECT_THAT(report->errors, IsEmpty());
  for (const FakeServer::Call& call : server.calls()) EXPECT_LE(call.chunks, 1);
}

TEST(LoadTest, NoClientVanishesWithoutAServer) {
  const std::atomic<bool> stop{false};
  FakeServer server;
  LoadOptions options = Options(server);
  options.addresses = {DeadAddress()};
  EXPECT_FALSE(RunVanish(options, 4, stop).ok());
}

TEST(LoadTest, FindsTheMostStreams) {
  FakeServer server({.refusal = {grpc::StatusCode::UNAVAILABLE, "server is full"}});
  LoadOptions options = Options(server);
  options.streams = 2;
  const std::atomic<bool> stop{false};
  std::ostringstream progress;
  const absl::StatusOr<SearchReport> report =
      FindMostStreams(options, std::chrono::hours(1), stop, progress);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->best, 0);
  EXPECT_THAT(report->runs, SizeIs(4));  // 2 and 1, each twice
}

TEST(LoadTest, DoesNotRunWithoutAServerModelOrRecording) {
  const std::atomic<bool> stop{false};
  std::ostringstream progress;
  FakeServer server;
  LoadOptions options = Options(server);
  options.addresses = {DeadAddress()};
  EXPECT_EQ(RunLoad(options, stop, progress).status().code(), absl::StatusCode::kUnavailable);
  options = Options(server);
  options.model = "other";
  EXPECT_EQ(RunLoad(options, stop, progress).status().code(), absl::StatusCode::kNotFound);
  options = Options(server);
  options.source.files = {"/nowhere/x.wav"};
  EXPECT_EQ(RunLoad(options, stop, progress).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(server.calls(), SizeIs(0));
}

// ---- LoadMain

struct Outcome {
  int status;
  std::string out;
  std::string err;
};

Outcome RunCommand(std::vector<std::string> arguments) {
  std::vector<const char*> argv = {"ese-load"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out;
  std::ostringstream err;
  const std::atomic<bool> stop{false};
  const int status = LoadMain(static_cast<int>(argv.size()), argv.data(), {-1, out, err}, stop);
  return {status, out.str(), err.str()};
}

std::vector<std::string> Short(const FakeServer& server, std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"--server", server.address(), "--streams", "4", "--seconds",
                                        "0.2",      "--timeout",      "100"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::string ReadAndRemove(const std::string& path) {
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove(path);
  return text;
}

TEST(LoadCommandTest, ReportsARealTimeRunWithItsFigures) {
  FakeServer server;
  const std::string json = ::testing::TempDir() + "/load_command_test.json";
  std::filesystem::remove(json);
  const Outcome outcome =
      RunCommand(Short(server, {"--json", json, "--prefix", "test", kRecording}));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("4 asked for, 4 accepted, 4 answered to the end; in real time"),
                    HasSubstr("\nlatency    "), HasSubstr("x real time"),
                    HasSubstr("failed       0 streams")));
  EXPECT_THAT(ReadAndRemove(json),
              AllOf(HasSubstr("{\"name\":\"test.p50_ms\",\"value\":"), HasSubstr("test.p95_ms"),
                    HasSubstr("test.p99_ms"), HasSubstr("test.max_ms"),
                    HasSubstr("{\"name\":\"test.streams\",\"value\":4,\"unit\":\"streams\"}"),
                    HasSubstr("{\"name\":\"test.failed_streams\",\"value\":0,"),
                    Not(HasSubstr("frames_per_s"))));
}

TEST(LoadCommandTest, ReportsAFlatOutRunWithItsFigures) {
  FakeServer server;
  const std::string json = ::testing::TempDir() + "/load_command_test.json";
  std::filesystem::remove(json);
  const Outcome outcome =
      RunCommand(Short(server, {"--rate", "max", "--input", "audio", "--json", json}));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(ReadAndRemove(json),
              AllOf(HasSubstr("{\"name\":\"demo.flat_out.frames_per_s\",\"value\":"),
                    HasSubstr("\"unit\":\"frames/s\""), HasSubstr("demo.flat_out.realtime_factor"),
                    HasSubstr("demo.flat_out.failed_streams"), Not(HasSubstr("p99_ms"))));
}

TEST(LoadCommandTest, ReportsFailuresAndEndsWithAnErrorStatus) {
  FakeServer server({.refusal = {grpc::StatusCode::UNAVAILABLE, "server is full"}});
  const Outcome outcome = RunCommand(Short(server));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("failed       4 streams"), HasSubstr("4 x UNAVAILABLE, the first: "),
                    HasSubstr("server is full")));
  EXPECT_THAT(outcome.err, HasSubstr("nothing was answered"));
}

TEST(LoadCommandTest, ReportsRefusedStreamsSeparately) {
  FakeServer server(
      {.refusal = {grpc::StatusCode::UNAVAILABLE, "server is full"}, .retry_after_ms = 1000});
  const Outcome outcome = RunCommand(Short(server, {"--tenant", "gold", "--priority", "3"}));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("refused      4 streams, the first: "),
                                 HasSubstr("failed       0 streams")));
}

TEST(LoadCommandTest, ReportsThatNothingListens) {
  const std::string address = DeadAddress();
  const Outcome outcome = RunCommand({"--server", address});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("ese-load: nothing listens at " + address));
}

TEST(LoadCommandTest, FindsAnUnwritableJsonFileBeforeTheRun) {
  FakeServer server;
  const Outcome outcome = RunCommand(Short(server, {"--json", "/nowhere/x.json"}));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("/nowhere/x.json: cannot be written"));
  EXPECT_THAT(server.calls(), SizeIs(0));
}

TEST(LoadCommandTest, WritesReportsAndPercentiles) {
  FakeServer server;
  const std::string json = ::testing::TempDir() + "/load_command_test.report";
  const std::string percentiles = ::testing::TempDir() + "/load_command_test.hgrm";
  const Outcome outcome = RunCommand(
      Short(server, {"--report", json, "--percentiles", percentiles, "--chunk-ms", "30"}));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(ReadAndRemove(json),
              AllOf(HasSubstr("\"accepted\": 4"), HasSubstr("\"99.99\": "),
                    HasSubstr("\"compute\": {"), HasSubstr("\"timeline\": [")));
  EXPECT_THAT(ReadAndRemove(percentiles),
              AllOf(HasSubstr("1/(1-Percentile)"), HasSubstr(" 0.500000000000 "),
                    HasSubstr("Total count    = ")));
  EXPECT_EQ(RunCommand(Short(server, {"--report", "/nowhere/x"})).status, 1);
}

TEST(LoadCommandTest, CutsAndVerifies) {
  FakeServer server;
  const Outcome outcome =
      RunCommand(Short(server, {"--cut-every", "0.05", "--verify", "--connections", "2"}));
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("connections cut"),
                                 HasSubstr("0 streams differ from an undisturbed one")));
}

TEST(LoadCommandTest, VanishesAndSearches) {
  FakeServer server;
  EXPECT_THAT(RunCommand(Short(server, {"--vanish", "8"})).out, HasSubstr("vanished     8 times"));
  const Outcome outcome = RunCommand(Short(server, {"--find-max", "--p99-ms", "0.001"}));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("most streams with p99 within 0.001 ms: 0"));
}

TEST(LoadCommandTest, RefusesWrongArguments) {
  EXPECT_EQ(RunCommand({"--help"}).status, 0);
  EXPECT_THAT(RunCommand({"--version"}).out, HasSubstr(ESE_VERSION));
  EXPECT_THAT(RunCommand({"--streams", "0"}).err, HasSubstr("--streams"));
  EXPECT_THAT(RunCommand({"--seconds", "-1"}).err, HasSubstr("--seconds"));
  EXPECT_THAT(RunCommand({"--priority", "9"}).err, HasSubstr("--priority"));
  EXPECT_THAT(RunCommand({"--rate", "fast"}).err, HasSubstr("--rate"));
  EXPECT_THAT(RunCommand({"--input", "video"}).err, HasSubstr("--input"));
  EXPECT_NE(RunCommand({"--unknown"}).status, 0);
}

}  // namespace
}  // namespace ese
