// SPDX-License-Identifier: Apache-2.0
#include "tests/test_server.h"

#include "accel/cpu/cpu_channel.h"
#include "gtest/gtest.h"

namespace ese {

TestServer::TestServer(const std::vector<std::shared_ptr<const Model>>& models, int channels,
                       ServingOptions options) {
  options.listen = "127.0.0.1:0";
  // Tests must not depend on how busy the machine is. Only tests of admission set the processors.
  if (options.scheduler.processors == nullptr) options.scheduler.max_load = 0;
  auto server = Server::Start(
      options, models,
      [channels](const std::shared_ptr<const Model>& model) {
        return CreateCpuChannels(model, {.count = channels});
      },
      &metrics_);
  if (!server.ok()) {
    ADD_FAILURE() << server.status();
    std::abort();  // no test can continue
  }
  server_ = *std::move(server);
}

std::shared_ptr<grpc::Channel> TestServer::Connect() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Without the probe, gRPC never grants more than a 64 KB window to a client that does not read.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  return grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(),
                                   arguments);
}

std::unique_ptr<v1::SpeechInference::Stub> TestServer::NewStub() const {
  return v1::SpeechInference::NewStub(Connect());
}

int TestServer::open_streams() const {
  int open = 0;
  const ModelCatalog& catalog = server_->catalog();
  for (const auto& served : catalog.Current()) open += served->scheduler->open_streams();
  for (const auto& served : catalog.Retired()) open += served->scheduler->open_streams();
  return open;
}

}  // namespace ese
