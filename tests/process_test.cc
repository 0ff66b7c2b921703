// SPDX-License-Identifier: Apache-2.0
// The process of ese-server: how it ends by signals, whatever its log and its files do, its ready
// file, and what it tells a service manager.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/eventually.h"
#include "base/test_paths.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "tests/program.h"
#include "tests/stream_client.h"
#include "tests/temp_folder.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

const std::string kServer = BinaryDir() + "/bin/ese-server";

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() {
    ModelDraft draft = RandomModelDraft({.inputs = 12});
    draft.name = "random";
    const std::string bytes = *SerializeModel(draft);
    model_ = *Model::FromBytes(bytes);
    model_path_ = folder_.Write("model.ese", bytes);
  }

  std::vector<std::string> Arguments(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"--model",      model_path_, "--listen",   "127.0.0.1:0",
                                          "--metrics",    "",          "--channels", "1",
                                          "--ready-file", ready_path_, "--max-load", "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // Whether one short stream is answered, or the code with which it ended.
  grpc::StatusCode Try(const std::string& address) const {
    const auto stub = v1::SpeechInference::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 10, 1);
    return RunStream(stub.get(), content.config, content.Chunks(1)).status.error_code();
  }

  const TempFolder folder_{"process_test"};
  std::shared_ptr<const Model> model_;
  std::string model_path_;
  const std::string ready_path_ = folder_.Path("ready");
};

// Nobody ever reads the pipe, and it is full from the beginning.
TEST_F(ProcessTest, ServesAndDrainsThoughItsLogIsAFullPipe) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  const std::string block(4096, 'x');
  while (write(ends[1], block.data(), block.size()) > 0) {
  }
  fcntl(ends[1], F_SETFL, 0);
  Program program(kServer, Arguments({"--log-level", "trace"}), ends[1]);
  const std::string address = WaitForGrpcAddress(ready_path_);
  EXPECT_EQ(Try(address), grpc::StatusCode::OK);
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(ready_path_));
  Program refused(kServer, {"--model", folder_.Path("none.ese")}, ends[1]);
  EXPECT_EQ(refused.Wait(), 1);
  close(ends[0]);
  close(ends[1]);
}

TEST_F(ProcessTest, SigquitEndsAtOnceAndRemovesTheReadyFile) {
  Program program(kServer, Arguments());
  ASSERT_NE(WaitForGrpcAddress(ready_path_), "");
  program.Signal(SIGQUIT);
  EXPECT_EQ(program.Wait(), 5);
  EXPECT_FALSE(std::filesystem::exists(ready_path_));
  EXPECT_THAT(program.error_output(), HasSubstr("received SIGQUIT; ending at once"));
}

TEST_F(ProcessTest, IgnoresSignalsThatMeanNothing) {
  Program program(kServer, Arguments());
  const std::string address = WaitForGrpcAddress(ready_path_);
  for (const int number : {SIGUSR1, SIGUSR2, SIGPIPE}) program.Signal(number);
  EXPECT_EQ(Try(address), grpc::StatusCode::OK);
  program.Signal(SIGINT);
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_THAT(program.error_output(), HasSubstr("received SIGINT; draining for at most 10 s"));
}

TEST_F(ProcessTest, SighupOpensTheLogAgainAndReadsTheModelsAgain) {
  const std::string log = folder_.Path("log");
  std::filesystem::create_directory(folder_.Path("models"));
  folder_.Write("models/b\n\x1b[2Jad.ese", "bad");
  Program program(kServer, Arguments({"--log-file", log, "--model-dir", folder_.Path("models")}));
  const std::string address = WaitForGrpcAddress(ready_path_);
  ASSERT_TRUE(Eventually([&] { return ReadText(log).find("grpc=") != std::string::npos; }));
  EXPECT_THAT(ReadText(log), HasSubstr("b\\n\\x1b[2Jad.ese is refused"));
  std::filesystem::rename(log, log + ".1");
  program.Signal(SIGHUP);
  ASSERT_TRUE(
      Eventually([&] { return ReadText(log).find("[2Jad.ese is refused") != std::string::npos; }));
  EXPECT_THAT(ReadText(log), HasSubstr("reloaded the models of the folder"));
  EXPECT_EQ(Try(address), grpc::StatusCode::OK);
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_THAT(ReadText(log), HasSubstr("received SIGTERM"));
  EXPECT_EQ(program.error_output(), "");
}

// Nothing ever writes to the FIFOs, so opening them in the usual way would wait for ever.
TEST_F(ProcessTest, RefusesFifosInsteadOfWaitingForThem) {
  const std::string fifo = folder_.Path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::pair<const char*, const char*> cases[] = {
      {"--model", "is a FIFO"},
      {"--checkpoint-key", "is a FIFO"},
      {"--log-file", "cannot write the log file"},
      {"--ready-file", "exists and is not a regular file"}};
  for (const auto& [option, message] : cases) {
    SCOPED_TRACE(option);
    std::vector<std::string> arguments = {"--model",     model_path_, "--listen",
                                          "127.0.0.1:0", "--metrics", ""};
    arguments.insert(arguments.end(), {option, fifo});
    Program program(kServer, arguments);
    EXPECT_EQ(program.Wait(), 1);
    EXPECT_THAT(program.error_output(), HasSubstr(message));
  }
  EXPECT_TRUE(std::filesystem::is_fifo(fifo));
}

// A server that cannot start must not touch the file of one that serves.
TEST_F(ProcessTest, AServerThatFailsLeavesTheReadyFileOfAnother) {
  Program owner(kServer, Arguments());
  const std::string address = WaitForGrpcAddress(ready_path_);
  const std::string text = ReadText(ready_path_);
  std::vector<std::string> arguments = Arguments();
  arguments[3] = address;
  Program second(kServer, arguments);
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_THAT(second.error_output(), HasSubstr("Address already in use"));
  EXPECT_EQ(ReadText(ready_path_), text);
  owner.Signal(SIGTERM);
  EXPECT_EQ(owner.Wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(ready_path_));
}

TEST_F(ProcessTest, AServerThatEndsLeavesTheReadyFileOfItsSuccessor) {
  Program first(kServer, Arguments());
  const std::string address = WaitForGrpcAddress(ready_path_);
  Program second(kServer, Arguments());
  ASSERT_TRUE(Eventually([&] { return WaitForGrpcAddress(ready_path_) != address; }));
  const std::string text = ReadText(ready_path_);
  first.Signal(SIGTERM);
  EXPECT_EQ(first.Wait(), 0);
  EXPECT_EQ(ReadText(ready_path_), text);
}

TEST_F(ProcessTest, TellsTheServiceManagerHowItIs) {
  const std::string path = folder_.Path("notify");
  const int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(manager, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  setenv("WATCHDOG_USEC", "400000", 1);
  Program program(kServer, Arguments());
  unsetenv("NOTIFY_SOCKET");
  unsetenv("WATCHDOG_USEC");
  const timeval limit = {.tv_sec = 30, .tv_usec = 0};
  setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  // Returns once a message that begins with `wanted` has come.
  const auto await = [&](const std::string& wanted) {
    std::string message;
    do {
      message.assign(200, '\0');
      const ssize_t n = recv(manager, message.data(), message.size(), 0);
      if (n <= 0) return false;
      message.resize(static_cast<size_t>(n));
    } while (message.rfind(wanted, 0) != 0);
    return true;
  };
  EXPECT_TRUE(await("READY=1"));
  EXPECT_TRUE(std::filesystem::exists(ready_path_));
  EXPECT_TRUE(await("WATCHDOG=1"));
  program.Signal(SIGHUP);
  EXPECT_TRUE(await("RELOADING=1\nMONOTONIC_USEC="));
  EXPECT_TRUE(await("READY=1"));
  program.Signal(SIGTERM);
  EXPECT_TRUE(await("STOPPING=1"));
  EXPECT_EQ(program.Wait(), 0);
  close(manager);
}

}  // namespace
}  // namespace ese
