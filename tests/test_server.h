// SPDX-License-Identifier: Apache-2.0
// A server with real CPU channels within the test's process, on a free port of the loopback.
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
  // `channels` of each model. Options other than the address are as given, but all are admitted
  // unless there are options.scheduler.processors.
  explicit TestServer(const std::vector<std::shared_ptr<const Model>>& models, int channels = 2,
                      ServingOptions options = {});

  Server& server() { return *server_; }
  MetricsRegistry& metrics() { return metrics_; }
  // A connection of its own.
  std::shared_ptr<grpc::Channel> Connect() const;
  std::unique_ptr<v1::SpeechInference::Stub> NewStub() const;
  // Streams that hold a place in the schedulers.
  int open_streams() const;

 private:
  MetricsRegistry metrics_;
  std::unique_ptr<Server> server_;
};

}  // namespace ese
