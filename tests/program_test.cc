// SPDX-License-Identifier: Apache-2.0
// Runs ese-server as a program. Checks what it says and how it exits if it cannot start, and how it
// runs from the ready file to SIGTERM.
#include "tests/program.h"

#include <signal.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/test_paths.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "tests/stream_client.h"
#include "tests/temp_folder.h"
#include "tests/test_server.h"

namespace ese {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kServer = BinaryDir() + "/bin/ese-server";

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() {
    ModelDraft draft = RandomModelDraft({.inputs = 12});
    draft.name = "random";
    model_bytes_ = *SerializeModel(draft);
    model_ = *Model::FromBytes(model_bytes_);
    model_path_ = folder_.Write("model.ese", model_bytes_);
    ready_path_ = folder_.Path("ready");
  }

  // Returns the arguments of a server that listens on free ports and accepts streams no matter how
  // busy the machine is, followed by `more`.
  std::vector<std::string> Arguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {
        "--model",    model_path_, "--listen",     "127.0.0.1:0", "--metrics",  "127.0.0.1:0",
        "--channels", "1",         "--ready-file", ready_path_,   "--max-load", "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // Expects the exit status, and exactly one line on stderr that contains `message`.
  void ExpectFails(const std::vector<std::string>& arguments, int exit_status,
                   const std::string& message) {
    Program program(kServer, arguments);
    EXPECT_EQ(program.Wait(), exit_status);
    const std::string error = program.error_output();
    EXPECT_THAT(error, StartsWith("ese-server: "));
    EXPECT_THAT(error, HasSubstr(message));
    EXPECT_EQ(error.find('\n'), error.size() - 1) << error;
  }

  std::unique_ptr<v1::SpeechInference::Stub> Connect(const std::string& address) {
    return v1::SpeechInference::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  }

  const TempFolder folder_{"program_test"};
  std::string model_bytes_;
  std::shared_ptr<const Model> model_;
  std::string model_path_;
  std::string ready_path_;
};

TEST_F(ProgramTest, ServesFromTheReadyFileUntilTheSignal) {
  Program program(kServer, Arguments());
  const std::string address = WaitForGrpcAddress(ready_path_);
  ASSERT_THAT(address, StartsWith("127.0.0.1:"));
  EXPECT_THAT(ReadText(ready_path_), HasSubstr("\nmetrics=127.0.0.1:"));
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

TEST_F(ProgramTest, AfterASignalOpenStreamsMayFinish) {
  Program program(kServer, Arguments({"--drain-seconds", "60"}));
  const auto stub = Connect(WaitForGrpcAddress(ready_path_));
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

// XRT is missing, either on this machine or in this build.
TEST_F(ProgramTest, MissingCardsEndTheServerOnlyIfThereAreNoOtherChannels) {
  ::setenv("XILINX_XRT", folder_.path().c_str(), 1);
  ExpectFails({"--model", model_path_, "--channels", "xrt:all", "--xclbin", "none.xclbin"}, 1,
              "XRT");
  auto arguments = Arguments({"--xclbin", "none.xclbin"});
  std::ranges::replace(arguments, "1", "cpu:1,xrt:all");
  Program program(kServer, arguments);
  EXPECT_NE(WaitForGrpcAddress(ready_path_), "");
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_THAT(program.error_output(), HasSubstr("continuing without cards: "));
  EXPECT_THAT(program.error_output(), HasSubstr("channels of each model: 1, kernel "));
  ::unsetenv("XILINX_XRT");
}

TEST_F(ProgramTest, OpenStreamsMayFinishOnlyForALimitedTime) {
  Program program(kServer, Arguments({"--drain-seconds", "0.1"}));
  const auto stub = Connect(WaitForGrpcAddress(ready_path_));
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 30, 1);
  StreamClient stream(stub.get());
  ASSERT_TRUE(stream.Begin(content.config, content.bytes));
  program.Signal(SIGINT);
  EXPECT_EQ(stream.Finish().status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(program.Wait(), 3);
}

TEST_F(ProgramTest, ASecondSignalEndsOpenStreams) {
  Program program(kServer, Arguments({"--drain-seconds", "3600"}));
  const auto stub = Connect(WaitForGrpcAddress(ready_path_));
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
  EXPECT_EQ(program.Wait(), 4);
}

// In a rolling restart, SIGTERM makes the stream move at once to a replica with the same key.
TEST_F(ProgramTest, ASignalMovesAStreamWithCheckpointsToAnotherProcess) {
  const std::string key = folder_.Write("key", std::string(32, 'k'));
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 30, 1);
  const size_t half = 15 * content.sample_bytes;
  JoinedOutcome joined;
  StreamOutcome first;
  {
    Program program(kServer, Arguments({"--drain-seconds", "3600", "--checkpoint-key", key}));
    const auto stub = Connect(WaitForGrpcAddress(ready_path_));
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
  joined.Add(RunStream(Connect(WaitForGrpcAddress(ready_path_)).get(), config,
                       {content.bytes.substr(half)}),
             /*last=*/true);
  joined.ExpectAnswersOf(content);
}

// After SIGKILL the stream resumes from its last checkpoint, and the client sends again what
// followed.
TEST_F(ProgramTest, AStreamSurvivesAKilledServer) {
  const std::string key = folder_.Write("key", std::string(32, 'k'));
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 30, 1);
  JoinedOutcome joined;
  StreamOutcome first;
  {
    Program program(kServer, Arguments({"--checkpoint-key", key}));
    const auto stub = Connect(WaitForGrpcAddress(ready_path_));
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
  joined.Add(RunStream(Connect(WaitForGrpcAddress(ready_path_)).get(), config,
                       {content.bytes.substr(first.checkpoint.content_bytes())}),
             /*last=*/true);
  joined.ExpectAnswersOf(content);
}

TEST_F(ProgramTest, RefusesACheckpointKeyThatCannotBeUsed) {
  ExpectFails(Arguments({"--checkpoint-key", folder_.Path("none")}), 1, folder_.Path("none"));
  ExpectFails(Arguments({"--checkpoint-key", folder_.Write("short", "1234")}), 1, "has 4 bytes");
}

TEST_F(ProgramTest, RefusesAMissingModel) {
  ExpectFails({"--model", folder_.Path("none.ese")}, 1, folder_.Path("none.ese"));
}

TEST_F(ProgramTest, RefusesATruncatedModel) {
  for (const size_t size :
       {size_t{0}, size_t{10}, model_bytes_.size() / 2, model_bytes_.size() - 1}) {
    SCOPED_TRACE(size);
    const std::string path = folder_.Write("cut.ese", model_bytes_.substr(0, size));
    ExpectFails({"--model", path}, 1, path + ": ");
  }
}

TEST_F(ProgramTest, RefusesAModelWithAFlippedBit) {
  // The flipped bits are in the magic, the header or manifest, the sections, and the last byte.
  const size_t size = model_bytes_.size();
  for (const size_t at : {size_t{0}, size_t{40}, size / 2, size - 1}) {
    SCOPED_TRACE(at);
    std::string bytes = model_bytes_;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    const std::string path = folder_.Write("flipped.ese", bytes);
    ExpectFails({"--model", path}, 1, path + ": ");
  }
}

TEST_F(ProgramTest, RefusesTwoModelsWithTheSameName) {
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

TEST_F(ProgramTest, RefusesAReadyFileThatCannotBeWritten) {
  ready_path_ = folder_.Path("no/such/folder/ready");
  ExpectFails(Arguments(), 1, "cannot write the ready file " + ready_path_);
}

TEST_F(ProgramTest, RefusesWrongFlagsAndConfigs) {
  ExpectFails(Arguments({"--no-such-flag"}), 2, "--no-such-flag");
  ExpectFails(Arguments({"--max-streams", "lots"}), 2, "--max-streams");
  ExpectFails({"--listen", "127.0.0.1:0"}, 1, "--model");
  ExpectFails(Arguments({"--target-latency-ms", "0"}), 1, "--target-latency-ms is 0");
  ExpectFails({"--model", model_path_, "--channels", "0"}, 1, "--channels is 0");
  const std::string config = folder_.Write("server.toml", "max-streamz = 4\n");
  ExpectFails(Arguments({"--config", config}), 1, "unknown name max-streamz");
  ExpectFails(Arguments({"--config", folder_.Path("none.toml")}), 1, folder_.Path("none.toml"));
}

TEST_F(ProgramTest, ReadsItsOptionsFromAConfigFile) {
  const std::string config = folder_.Write(
      "server.toml", absl::StrCat("model = \"", model_path_, "\"\nlisten = \"127.0.0.1:0\"\n",
                                  "metrics = \"\"\nready-file = \"", ready_path_, "\"\n"));
  Program program(kServer, {"--config", config});
  const std::string address = WaitForGrpcAddress(ready_path_);
  ASSERT_THAT(address, StartsWith("127.0.0.1:"));
  EXPECT_THAT(ReadText(ready_path_), HasSubstr("metrics=\n"));
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
}

}  // namespace
}  // namespace ese
