// SPDX-License-Identifier: Apache-2.0
// A scripted ese.v1.SpeechInference on a loopback port, for tests of the clients. It counts frames,
// says the units that it was told to, and gives posteriors that depend on all content so far, so
// that a frame lost, repeated or out of order shows in every later one.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ese/v1/speech.grpc.pb.h"
#include "grpcpp/server.h"

namespace ese {

struct FakeScript {
  std::vector<std::string> units = {};  // one with each chunk, the rest with the final response
  grpc::Status refusal = {};            // of every stream, instead of accepting it
  int64_t retry_after_ms = -1;          // told with a refusal
  // The number of the response (0: the acceptance; beyond the final one: the end) instead of which
  // a call ends with `failure`; the first `failing_calls` of them.
  int64_t fail_at_response = -1;
  grpc::Status failure{grpc::StatusCode::INTERNAL, "scripted failure"};
  int64_t failing_calls = INT64_MAX;
  int64_t drain_after_chunks = -1;   // then: a checkpoint, UNAVAILABLE, and so for later streams
  int64_t silent_after_chunks = -1;  // reads on and answers nothing
  bool hang_at_end = false;          // answers every chunk, but not the half-close, until Stop
  bool forget_final = false;         // ends calls with OK and without a final response
  bool checkpoints = true;           // gives those that are asked for
  bool forgets_state = false;        // resumed streams go on as if nothing had been before
  std::string key = "key";           // of its checkpoints' tokens; it takes no others
};

// 16 kHz, 25 ms windows of 8 mel bins every 10 ms, three side by side: 24 values every 30 ms.
v1::Model FakeModel();

// Thread-safe.
class FakeServer {
 public:
  struct Call {
    v1::StreamingConfig config;
    std::string content;
    int64_t chunks = 0;
    bool half_closed = false;
  };

  explicit FakeServer(FakeScript script = {}, std::vector<v1::Model> models = {FakeModel()});
  ~FakeServer();

  // 127.0.0.1:PORT
  const std::string& address() const { return address_; }
  // Waits until that many chunks have come, over all calls.
  void AwaitChunks(int64_t chunks);
  // Breaks every call and stops listening.
  void Stop();
  // What each call has sent so far, in the order of their beginnings.
  std::vector<Call> calls() const;

 private:
  class Service;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

// An address at which nothing listens.
std::string DeadAddress();

}  // namespace ese
