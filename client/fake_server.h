// SPDX-License-Identifier: Apache-2.0
// A scripted ese.v1.SpeechInference on a loopback port, for tests of the clients. It counts frames
// and returns scripted units. Its posteriors depend on all content so far, so a frame that is lost,
// repeated or out of order changes every later one.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ese/v1/speech.grpc.pb.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"

namespace ese {

struct FakeScript {
  std::vector<std::string> units = {};  // one with each chunk, the rest with the final response
  grpc::Status refusal = {};            // unless it is OK, every stream is refused with it
  int64_t retry_after_ms = -1;          // sent with a refusal; -1: none
  // The first `failing_calls` calls end with `failure` instead of sending the response with this
  // number. 0 is the acceptance; the number after the final response is the end of the call.
  int64_t fail_at_response = -1;
  grpc::Status failure{grpc::StatusCode::INTERNAL, "scripted failure"};
  int64_t failing_calls = INT64_MAX;
  // After this many chunks of a call, sends a checkpoint and UNAVAILABLE and refuses later streams.
  int64_t drain_after_chunks = -1;
  // After this many chunks of a call, keeps reading but answers nothing more.
  int64_t silent_after_chunks = -1;
  bool hang_at_end = false;    // answers every chunk, but the half-close only after Stop
  bool forget_final = false;   // ends calls with OK but without a final response
  bool checkpoints = true;     // sends the checkpoints that clients ask for
  bool forgets_state = false;  // resumes streams with the state of a new stream
  std::string bearer = {};     // calls need this bearer token; empty: none
  std::string key = "key";     // of checkpoint tokens; tokens with another key are refused
};

// 16 kHz audio; 25 ms windows with 8 mel bins every 10 ms, three of them in a frame: 24 values
// every 30 ms.
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

  explicit FakeServer(FakeScript script = {}, std::vector<v1::Model> models = {FakeModel()},
                      const std::shared_ptr<grpc::ServerCredentials>& credentials =
                          grpc::InsecureServerCredentials());
  ~FakeServer();

  // 127.0.0.1:PORT
  const std::string& address() const { return address_; }
  // Waits until that many chunks have arrived, over all calls.
  void AwaitChunks(int64_t chunks);
  // Breaks every call and stops listening.
  void Stop();
  // What each call has received so far, in the order in which the calls began.
  std::vector<Call> calls() const;

 private:
  class Service;
  std::unique_ptr<Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

// An address where nothing listens.
std::string DeadAddress();

}  // namespace ese
