// SPDX-License-Identifier: Apache-2.0
// ese-server as a program: what it says and how it exits where it cannot start, and its life from
// the ready file to SIGTERM.
#include "tests/program.h"

#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/test_paths.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "tests/stream_client.h"
#include "tests/test_server.h"

namespace ese {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kServer = BinaryDir() + "/bin/ese-server";

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() : folder_(absl::StrCat(testing::TempDir(), "ese_program_test_", ::getpid())) {
    std::filesystem::create_directories(folder_);
    ModelDraft draft = RandomModelDraft({.inputs = 12});
    draft.name = "random";
    model_bytes_ = *SerializeModel(draft);
    model_ = *Model::FromBytes(model_bytes_);
    model_path_ = Write("model.ese", model_bytes_);
    ready_path_ = Path("ready");
  }
  ~ProgramTest() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
    return Path(name);
  }

  // Arguments of a server that takes free ports, and streams however busy the machine is; more
  // flags may follow.
  std::vector<std::string> Arguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {
        "--model",    model_path_, "--listen",     "127.0.0.1:0", "--metrics",  "127.0.0.1:0",
        "--channels", "1",         "--ready-file", ready_path_,   "--max-load", "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // Exactly one line on stderr, which holds `message`, and the exit status.
  void ExpectFails(const std::vector<std::string>& arguments, int exit_status,
                   const std::string& message) {
    Program program(kServer, arguments);
    EXPECT_EQ(program.Wait(), exit_status);
    const std::string error = program.error_output();
    EXPECT_THAT(error, StartsWith("ese-server: "));
    EXPECT_THAT(error, HasSubstr(message));
    EXPECT_EQ(error.find('\n'), error.size() - 1) << error;
  }

  // The gRPC address of a server that has been started, or empty if it does not come up.
  std::string WaitUntilReady() {
    if (!Eventually([&] { return std::filesystem::exists(ready_path_); })) return "";
    for (const auto line : absl::StrSplit(ReadFile(ready_path_), '\n')) {
      if (absl::StartsWith(line, "grpc=")) return std::string(line.substr(5));
    }
    return "";
  }

  std::unique_ptr<v1::SpeechInference::Stub> Connect(const std::string& address) {
    return v1::SpeechInference::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  }

  const std::string folder_;
  std::string model_bytes_;
  std::shared_ptr<const Model> model_;
  std::string model_path_;
  std::string ready_path_;
};

TEST_F(ProgramTest, ServesFromTheReadyFileToTheSignal) {
  Program program(kServer, Arguments());
  const std::string address = WaitUntilReady();
  ASSERT_THAT(address, StartsWith("127.0.0.1:"));
  EXPECT_THAT(ReadFile(ready_path_), HasSubstr("\nmetrics=127.0.0.1:"));
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 30, 1);
  ExpectAnswersOf(content, RunStream(Connect(address).get(), content.config, content.Chunks(1)));
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(ready_path_));
  const std::string log = program.error_output();
  EXPECT_THAT(log, HasSubstr(absl::StrCat("ese-server ", ESE_VERSION, " serves random (12 -> 8")));
  EXPECT_THAT(log, HasSubstr("channels of each model: 1, kernel "));
  EXPECT_THAT(log, HasSubstr(absl::StrCat("grpc=", address)));
}

TEST_F(ProgramTest, ASignalLetsOpenStreamsFinish) {
  Program program(kServer, Arguments({"--drain-seconds", "60"}));
  const auto stub = Connect(WaitUntilReady());
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 30, 1);
  StreamClient stream(stub.get());
  ASSERT_TRUE(stream.Begin(content.config, content.bytes.substr(0, content.sample_bytes)));
  program.Signal(SIGTERM);
  ASSERT_TRUE(Eventually([&] {
    return RunStream(stub.get(), content.config, content.Chunks(1)).status.error_code() ==
           grpc::StatusCode::UNAVAILABLE;
  }));
  ASSERT_TRUE(stream.SendChunk(content.bytes.substr(content.sample_bytes)));
  stream.HalfClose();
  ExpectAnswersOf(content, stream.Finish());
  EXPECT_EQ(program.Wait(), 0);
}

// Without cards or XRT: whether it is not there or was not there when the program was built.
TEST_F(ProgramTest, CardsThatAreMissingEndTheServerOnlyIfThereIsNothingElse) {
  ::setenv("XILINX_XRT", folder_.c_str(), 1);
  ExpectFails({"--model", model_path_, "--channels", "xrt:all", "--xclbin", "none.xclbin"}, 1,
              "XRT");
  auto arguments = Arguments({"--xclbin", "none.xclbin"});
  std::ranges::replace(arguments, "1", "cpu:1,xrt:all");
  Program program(kServer, arguments);
  EXPECT_NE(WaitUntilReady(), "");
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_THAT(program.error_output(), HasSubstr("continuing without cards: "));
  EXPECT_THAT(program.error_output(), HasSubstr("channels of each model: 1, kernel "));
  ::unsetenv("XILINX_XRT");
}

TEST_F(ProgramTest, TheGraceOfOpenStreamsIsBounded) {
  Program program(kServer, Arguments({"--drain-seconds", "0.1"}));
  const auto stub = Connect(WaitUntilReady());
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 30, 1);
  StreamClient stream(stub.get());
  ASSERT_TRUE(stream.Begin(content.config, content.bytes));
  program.Signal(SIGINT);
  EXPECT_EQ(stream.Finish().status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(program.Wait(), 0);
}

TEST_F(ProgramTest, ASecondSignalEndsTheGrace) {
  Program program(kServer, Arguments({"--drain-seconds", "3600"}));
  const auto stub = Connect(WaitUntilReady());
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 30, 1);
  StreamClient stream(stub.get());
  ASSERT_TRUE(stream.Begin(content.config, content.bytes));
  program.Signal(SIGTERM);
  ASSERT_TRUE(Eventually([&] {
    return RunStream(stub.get(), content.config, {}).status.error_code() ==
           grpc::StatusCode::UNAVAILABLE;
  }));
  program.Signal(SIGTERM);
  EXPECT_EQ(stream.Finish().status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(program.Wait(), 0);
}

// Rolling restart: the stream moves to a replica with the same key, by SIGTERM at once...
TEST_F(ProgramTest, ASignalMovesAStreamThatKnowsOfCheckpointsToAnotherProcess) {
  const std::string key = Write("key", std::string(32, 'k'));
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 30, 1);
  const size_t half = 15 * content.sample_bytes;
  JoinedOutcome joined;
  StreamOutcome first;
  {
    Program program(kServer, Arguments({"--drain-seconds", "3600", "--checkpoint-key", key}));
    const auto stub = Connect(WaitUntilReady());
    StreamClient stream(stub.get());
    v1::StreamingConfig config = content.config;
    config.set_checkpoint_every_frames(1000);
    ASSERT_TRUE(stream.Begin(config, content.bytes.substr(0, half)));
    program.Signal(SIGTERM);
    first = stream.Finish();
    EXPECT_EQ(first.status.error_code(), grpc::StatusCode::UNAVAILABLE);
    ASSERT_EQ(first.checkpoints, 1);
    EXPECT_EQ(program.Wait(), 0);
  }
  joined.Add(first, /*last=*/false);
  Program program(kServer, Arguments({"--checkpoint-key", key}));
  const auto config = ResumeFrom(content.config, first.checkpoint);
  joined.Add(RunStream(Connect(WaitUntilReady()).get(), config, {content.bytes.substr(half)}),
             /*last=*/true);
  joined.ExpectAnswersOf(content);
}

// ... and by SIGKILL from its last checkpoint, with what followed sent again.
TEST_F(ProgramTest, AStreamOutlivesAKilledServer) {
  const std::string key = Write("key", std::string(32, 'k'));
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 30, 1);
  JoinedOutcome joined;
  StreamOutcome first;
  {
    Program program(kServer, Arguments({"--checkpoint-key", key}));
    const auto stub = Connect(WaitUntilReady());
    StreamClient stream(stub.get());
    v1::StreamingConfig config = content.config;
    config.set_checkpoint_every_frames(8);
    ASSERT_TRUE(stream.Begin(config, content.bytes.substr(0, 20 * content.sample_bytes)));
    program.Signal(SIGKILL);
    first = stream.Finish();
    EXPECT_EQ(first.status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_EQ(first.checkpoint.frames(), 16);
    EXPECT_EQ(program.Wait(), 128 + SIGKILL);
  }
  joined.Add(first, /*last=*/false);
  std::filesystem::remove(ready_path_);
  Program program(kServer, Arguments({"--checkpoint-key", key}));
  const auto config = ResumeFrom(content.config, first.checkpoint);
  joined.Add(RunStream(Connect(WaitUntilReady()).get(), config,
                       {content.bytes.substr(first.checkpoint.content_bytes())}),
             /*last=*/true);
  joined.ExpectAnswersOf(content);
}

TEST_F(ProgramTest, ACheckpointKeyThatCannotBeUsed) {
  ExpectFails(Arguments({"--checkpoint-key", Path("none")}), 1, Path("none"));
  ExpectFails(Arguments({"--checkpoint-key", Write("short", "1234")}), 1, "has 4 bytes");
}

TEST_F(ProgramTest, AModelThatIsMissing) {
  ExpectFails({"--model", Path("none.ese")}, 1, Path("none.ese"));
}

TEST_F(ProgramTest, AModelThatIsTruncated) {
  for (const size_t size :
       {size_t{0}, size_t{10}, model_bytes_.size() / 2, model_bytes_.size() - 1}) {
    SCOPED_TRACE(size);
    const std::string path = Write("cut.ese", model_bytes_.substr(0, size));
    ExpectFails({"--model", path}, 1, path + ": ");
  }
}

TEST_F(ProgramTest, AModelWithABitFlipped) {
  // In the magic, the header or manifest, the sections, the last byte.
  const size_t size = model_bytes_.size();
  for (const size_t at : {size_t{0}, size_t{40}, size / 2, size - 1}) {
    SCOPED_TRACE(at);
    std::string bytes = model_bytes_;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    const std::string path = Write("flipped.ese", bytes);
    ExpectFails({"--model", path}, 1, path + ": ");
  }
}

TEST_F(ProgramTest, TwoModelsOfOneName) {
  ExpectFails(Arguments({"--model", model_path_}), 1, "two models are named \"random\"");
}

TEST_F(ProgramTest, APortInUseDoesNotDisturbItsOwner) {
  TestServer owner({model_}, 1);
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 30, 1);
  const auto stub = owner.NewStub();
  StreamClient stream(stub.get());
  ASSERT_TRUE(stream.SendConfig(content.config));
  const std::string& address = owner.server().address();
  const std::string in_use = absl::StrCat("cannot listen at ", address, ": Address already in use");
  ExpectFails({"--model", model_path_, "--metrics", "", "--listen", address}, 1, in_use);
  ExpectFails({"--model", model_path_, "--metrics", address, "--listen", "127.0.0.1:0"}, 1,
              address);
  ASSERT_TRUE(stream.SendChunk(content.bytes));
  stream.HalfClose();
  ExpectAnswersOf(content, stream.Finish());
}

TEST_F(ProgramTest, AReadyFileThatCannotBeWritten) {
  ready_path_ = Path("no/such/folder/ready");
  ExpectFails(Arguments(), 1, "cannot write the ready file " + ready_path_);
}

TEST_F(ProgramTest, FlagsAndConfigsThatAreWrong) {
  ExpectFails(Arguments({"--no-such-flag"}), 2, "--no-such-flag");
  ExpectFails(Arguments({"--max-streams", "lots"}), 2, "--max-streams");
  ExpectFails({"--listen", "127.0.0.1:0"}, 1, "--model");
  ExpectFails(Arguments({"--target-latency-ms", "0"}), 1, "--target-latency-ms is 0");
  ExpectFails({"--model", model_path_, "--channels", "0"}, 1, "--channels is 0");
  const std::string config = Write("server.toml", "max-streamz = 4\n");
  ExpectFails(Arguments({"--config", config}), 1, "unknown name max-streamz");
  ExpectFails(Arguments({"--config", Path("none.toml")}), 1, Path("none.toml"));
}

TEST_F(ProgramTest, AFileConfiguresTheServer) {
  const std::string config =
      Write("server.toml", absl::StrCat("model = \"", model_path_, "\"\nlisten = \"127.0.0.1:0\"\n",
                                        "metrics = \"\"\nready-file = \"", ready_path_, "\"\n"));
  Program program(kServer, {"--config", config});
  const std::string address = WaitUntilReady();
  ASSERT_THAT(address, StartsWith("127.0.0.1:"));
  EXPECT_THAT(ReadFile(ready_path_), HasSubstr("metrics=\n"));
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
}

}  // namespace
}  // namespace ese
