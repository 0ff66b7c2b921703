// SPDX-License-Identifier: Apache-2.0
// Runs the command ese-load in this process against a scripted server.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "load/testing.h"

namespace ese {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

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
      RunCommand(Short(server, {"--json", json, "--prefix", "test", TestRecording()}));
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
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("nothing was answered, because 4 of 4 streams failed "
                                           "with UNAVAILABLE, the first with: "),
                                 HasSubstr("server is full")));
}

TEST(LoadCommandTest, ReportsRefusedStreamsSeparately) {
  FakeServer server(
      {.refusal = {grpc::StatusCode::UNAVAILABLE, "server is full"}, .retry_after_ms = 1000});
  const Outcome outcome = RunCommand(Short(server, {"--tenant", "gold", "--priority", "3"}));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("refused      4 streams, the first: "),
                                 HasSubstr("failed       0 streams")));
  EXPECT_THAT(outcome.err,
              HasSubstr("because the server refused 4 of 4 streams, the first with: "));
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
  const std::string report = testing::TempDir() + "/search.json";
  const Outcome outcome =
      RunCommand(Short(server, {"--find-max", "--p99-ms", "0.001", "--report", report}));
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("most streams with p99 within 0.001 ms: 0"));
  std::stringstream json;
  json << std::ifstream(report).rdbuf();
  EXPECT_THAT(json.str(),
              AllOf(HasSubstr(R"("most_streams": 0)"), HasSubstr(R"("p99_limit_ms": 0.001)")));
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
