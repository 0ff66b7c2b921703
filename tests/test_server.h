// SPDX-License-Identifier: Apache-2.0
// A server with real CPU channels in the test's own process, on a free port of the loopback
// address.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/eventually.h"
#include "ese/v1/speech.grpc.pb.h"
#include "metrics/registry.h"
#include "scheduler/processor_use.h"
#include "server/server.h"

namespace ese {

class TestServer {
 public:
  // Each model gets `channels` channels. The server chooses its address. Unless
  // options.scheduler.processors is set, it admits streams no matter how busy the machine is.
  explicit TestServer(const std::vector<std::shared_ptr<const Model>>& models, int channels = 2,
                      ServingOptions options = {});

  Server& server() { return *server_; }
  MetricsRegistry& metrics() { return metrics_; }
  // Opens a new connection.
  std::shared_ptr<grpc::Channel> Connect() const;
  std::unique_ptr<v1::SpeechInference::Stub> NewStub() const;
  // The number of streams that hold a place in the schedulers.
  int open_streams() const;

 private:
  MetricsRegistry metrics_;
  std::unique_ptr<Server> server_;
};

}  // namespace ese
