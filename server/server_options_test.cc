// SPDX-License-Identifier: Apache-2.0
#include "server/server_options.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class ServerOptionsTest : public testing::Test {
 protected:
  CommandLineError Parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "ese-server");
    return ParseServerOptions(static_cast<int>(arguments.size()), arguments.data(), &parsed_);
  }
  void ExpectError(const std::vector<const char*>& arguments, int exit_status,
                   const std::string& message) {
    const CommandLineError error = Parse(arguments);
    EXPECT_FALSE(error.status.ok());
    EXPECT_EQ(error.exit_status, exit_status) << error.status;
    EXPECT_THAT(std::string(error.status.message()), HasSubstr(message));
    EXPECT_THAT(std::string(error.status.message()), Not(HasSubstr("\n")));
  }
  std::string Config(const std::string& text) {
    const std::string path = testing::TempDir() + "ese_server_options_test.toml";
    std::ofstream(path) << text;
    return path;
  }

  CommandLine parsed_;
};

TEST_F(ServerOptionsTest, DefaultsAreTheDocumentedOnes) {
  ASSERT_TRUE(Parse({"--model", "a.ese"}).status.ok());
  const ServerOptions& options = parsed_.options;
  EXPECT_THAT(options.models, ElementsAre("a.ese"));
  EXPECT_EQ(options.serving.listen, "127.0.0.1:7700");
  EXPECT_EQ(options.metrics, "127.0.0.1:9700");
  EXPECT_EQ(options.operator_page, OperatorPage::kLocal);
  EXPECT_GE(options.channels.cpu, 1);
  EXPECT_EQ(options.serving.max_message_bytes, 1 << 20);
  EXPECT_EQ(options.serving.scheduler.target_latency, std::chrono::milliseconds(30));
  EXPECT_EQ(options.process.drain, std::chrono::seconds(10));
  const SchedulerOptions defaults;
  EXPECT_EQ(options.serving.scheduler.watchdog, defaults.watchdog);
  EXPECT_EQ(options.serving.scheduler.max_load, defaults.max_load);
  EXPECT_EQ(options.pin, -1);
  EXPECT_EQ(options.serving.model_dir, "");
  EXPECT_EQ(options.serving.model_grace, std::chrono::minutes(10));
}

TEST_F(ServerOptionsTest, FlagsSetEveryOption) {
  ASSERT_TRUE(Parse({"--model",
                     "a.ese",
                     "--model",
                     "b.ese",
                     "--model-dir",
                     "models",
                     "--model-grace-seconds",
                     "2.5",
                     "--listen",
                     "[::1]:0",
                     "--metrics",
                     "",
                     "--channels",
                     "3",
                     "--pin",
                     "1",
                     "--max-load",
                     "0.5",
                     "--max-queued-bytes",
                     "1000000",
                     "--watchdog-ms",
                     "500",
                     "--tenant-weight",
                     "gold=3",
                     "--tenant-weight",
                     "a=b=0.5",
                     "--channel-threads",
                     "2",
                     "--max-streams",
                     "5",
                     "--max-queued-frames",
                     "64",
                     "--max-frames-per-lane",
                     "4",
                     "--target-latency-ms",
                     "2.5",
                     "--max-message-bytes",
                     "10000",
                     "--drain-seconds",
                     "0",
                     "--operator-page",
                     "off",
                     "--ready-file",
                     "r",
                     "--log-level",
                     "debug"})
                  .status.ok());
  const ServerOptions& options = parsed_.options;
  EXPECT_THAT(options.models, ElementsAre("a.ese", "b.ese"));
  EXPECT_EQ(options.serving.model_dir, "models");
  EXPECT_EQ(options.serving.model_grace, std::chrono::milliseconds(2500));
  EXPECT_EQ(options.serving.listen, "[::1]:0");
  EXPECT_EQ(options.metrics, "");
  EXPECT_EQ(options.operator_page, OperatorPage::kOff);
  EXPECT_EQ(options.channels.cpu, 3);
  EXPECT_EQ(options.pin, 1);
  EXPECT_EQ(options.serving.scheduler.max_load, 0.5);
  EXPECT_EQ(options.serving.scheduler.max_queued_bytes, 1'000'000);
  EXPECT_EQ(options.serving.scheduler.watchdog, std::chrono::milliseconds(500));
  EXPECT_THAT(options.serving.scheduler.tenant_weights,
              UnorderedElementsAre(Pair("gold", 3.0), Pair("a=b", 0.5)));
  EXPECT_EQ(options.serving.scheduler.max_streams, 5);
  EXPECT_EQ(options.serving.scheduler.max_queued_frames, 64);
  EXPECT_EQ(options.serving.scheduler.max_frames_per_lane, 4);
  EXPECT_EQ(options.serving.scheduler.target_latency, std::chrono::microseconds(2500));
  EXPECT_EQ(options.serving.max_message_bytes, 10000);
  EXPECT_EQ(options.channel_threads, 2);
  EXPECT_EQ(options.process.drain, Duration(0));
  EXPECT_EQ(options.process.ready_file, "r");
  EXPECT_EQ(options.process.log_level, "debug");
}

TEST_F(ServerOptionsTest, AFileSetsOptionsAndFlagsTakePrecedence) {
  const std::string path =
      Config("model = [\"a.ese\", \"b.ese\"]\nchannels = 3\nmax-streams = 7\n");
  const CommandLineError error = Parse({"--config", path.c_str(), "--max-streams", "9"});
  ASSERT_TRUE(error.status.ok()) << error.status;
  EXPECT_THAT(parsed_.options.models, ElementsAre("a.ese", "b.ese"));
  EXPECT_EQ(parsed_.options.channels.cpu, 3);
  EXPECT_EQ(parsed_.options.serving.scheduler.max_streams, 9);
}

TEST_F(ServerOptionsTest, HelpAndVersionReturnText) {
  ASSERT_TRUE(Parse({"--help"}).status.ok());
  EXPECT_THAT(parsed_.text, HasSubstr("--max-message-bytes"));
  ASSERT_TRUE(Parse({"--version"}).status.ok());
  EXPECT_THAT(parsed_.text, HasSubstr(ESE_VERSION));
}

TEST_F(ServerOptionsTest, ACommandLineThatDoesNotParseExitsWith2) {
  ExpectError({"--model", "a", "--no-such-flag"}, 2, "--no-such-flag");
  ExpectError({"--model", "a", "--channels", "many"}, 2, "--channels");
  ExpectError({"--model", "a", "--max-streams"}, 2, "--max-streams");
  ExpectError({"stray"}, 2, "stray");
}

TEST_F(ServerOptionsTest, ABadFileExitsWith1) {
  const std::string unknown = Config("model = a.ese\nmax-strems = 7\n");
  ExpectError({"--config", unknown.c_str()}, 1, "unknown name max-strems");
  ExpectError({"--config", "/no/such/file.toml"}, 1, "/no/such/file.toml");
}

TEST_F(ServerOptionsTest, BadValuesExitWith1AndSayWhatIsAllowed) {
  ExpectError({}, 1, "--model");
  EXPECT_TRUE(Parse({"--model-dir", "models"}).status.ok());
  const auto expect = [this](const char* flag, const char* value, const std::string& message) {
    ExpectError({"--model", "a", flag, value}, 1, message);
  };
  expect("--channels", "0", "--channels is 0; it must be above 0");
  expect("--channels", "-1", "must be above 0");
  expect("--channels", "1025", "at most 1024");
  expect("--channels", "xrt:all", "cards need --xclbin");
  expect("--channel-threads", "0", "--channel-threads is 0; it must be above 0");
  expect("--max-streams", "0", "--max-streams is 0");
  expect("--max-waiting-calls", "0", "--max-waiting-calls is 0");
  expect("--max-queued-frames", "4", "less than --max-frames-per-lane");
  expect("--max-frames-per-lane", "0", "above 0");
  expect("--target-latency-ms", "nan", "above 0");
  expect("--max-message-bytes", "4095", "4096 or above");
  expect("--drain-seconds", "1e10", "0 or above and at most 604800");
  expect("--drain-seconds", "nan", "0 or above and at most 604800");
  expect("--drain-seconds", "inf", "0 or above and at most 604800");
  expect("--pin", "-2", "--pin is -2; it must be a processor's number, or -1 for none");
  expect("--max-load", "-0.1", "0 or above");
  expect("--max-queued-bytes", "0", "above 0");
  expect("--watchdog-ms", "0", "above 0");
  expect("--tenant-weight", "gold", "\"gold\"; it must be NAME=WEIGHT");
  expect("--tenant-weight", "gold=0", "a weight above 0");
  expect("--tenant-weight", "gold=nan", "a weight above 0");
  ExpectError({"--model", "a", "--tenant-weight", "x=1", "--tenant-weight", "x=2"}, 1,
              "names \"x\" twice");
  ExpectError({"--model", "a", "--config", "/dev/null"}, 2, "not a regular file");
  expect("--model-grace-seconds", "-1", "0 or above");
  expect("--drain-seconds", "-1", "0 or above");
  expect("--listen", "here", "--listen: \"here\" is not HOST:PORT");
  expect("--metrics", "9700", "--metrics: \"9700\" is not HOST:PORT");
  expect("--log-level", "loud", "\"loud\"");
}

}  // namespace
}  // namespace ese
