// SPDX-License-Identifier: Apache-2.0
// Runs ese-server with few file descriptors and opens more connections than it can have.
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>

#include "absl/strings/str_cat.h"
#include "base/listen_address.h"
#include "base/test_paths.h"
#include "base/unique_fd.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "tests/program.h"
#include "tests/stream_client.h"
#include "tests/temp_folder.h"
#include "tests/test_server.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

class ConnectionsTest : public testing::Test {
 protected:
  ConnectionsTest() {
    ModelDraft draft = RandomModelDraft({.inputs = 12});
    draft.name = "random";
    const std::string bytes = *SerializeModel(draft);
    model_ = *Model::FromBytes(bytes);
    model_path_ = folder_.Write("model.ese", bytes);
  }

  // Arguments of sh that run the server with at most `descriptors` descriptors.
  std::vector<std::string> Limited(int descriptors, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {
        "-c",
        absl::StrCat("ulimit -n ", descriptors, " && exec \"$0\" \"$@\""),
        BinaryDir() + "/bin/ese-server",
        "--model",
        model_path_,
        "--listen",
        "127.0.0.1:0",
        "--metrics",
        "",
        "--channels",
        "1",
        "--loops",
        "1",
        "--ready-file",
        ready_path_,
        "--max-load",
        "0"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  const TempFolder folder_{"connections_test"};
  std::shared_ptr<const Model> model_;
  std::string model_path_;
  const std::string ready_path_ = folder_.Path("ready");
};

UniqueFd ConnectTo(const std::string& address) {
  UniqueFd client(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in server{};
  server.sin_family = AF_INET;
  server.sin_port = htons(static_cast<uint16_t>(ParseListenAddress(address)->port));
  server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&server), sizeof(server)), 0);
  return client;
}

TEST_F(ConnectionsTest, ServesAgainAfterMoreConnectionsThanDescriptors) {
  Program program("/bin/sh", Limited(80));
  const std::string address = WaitForGrpcAddress(ready_path_);
  ASSERT_NE(address, "") << program.error_output();
  {
    std::vector<UniqueFd> clients;
    for (int i = 0; i < 200; ++i) clients.push_back(ConnectTo(address));
    // The first ones had to make room for others.
    char byte = 0;
    while (::recv(clients.front().get(), &byte, 1, 0) > 0) continue;
  }
  const StreamContent content = MakeContent(*model_, ContentKind::kInt16, 20, 1);
  const auto stub = v1::SpeechInference::NewStub(
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  // The first calls may come before the server has noticed that the others have left.
  StreamOutcome outcome;
  ASSERT_TRUE(Eventually([&] {
    outcome = RunStream(stub.get(), content.config, content.Chunks(1));
    return outcome.status.ok();
  }));
  ExpectAnswersOf(content, outcome);
  EXPECT_THAT(program.error_output(), HasSubstr("it had no stream, and other clients needed"));
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
}

TEST_F(ConnectionsTest, SaysThatThereAreTooFewDescriptors) {
  Program program("/bin/sh", Limited(80, {"--max-connections", "100"}));
  EXPECT_EQ(program.Wait(), 7);
  EXPECT_THAT(program.error_output(),
              HasSubstr("--max-connections is 100, but the limit of 80 file descriptors leaves"));
}

TEST(CompressionTest, ACompressedRequestIsRefused) {
  TestServer server({RandomModel({})}, 1, ServingOptions());
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  const auto stub = server.NewStub();
  const auto stream = stub->StreamingInfer(&context);
  v1::StreamingInferRequest request;
  request.set_chunk(std::string(10'000, '\0'));
  stream->Write(request);
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

}  // namespace
}  // namespace ese
