// SPDX-License-Identifier: Apache-2.0
// One call of a load test, on a completion queue of gRPC, so that one thread can drive thousands.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "ese/v1/speech.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "load/connection.h"

namespace ese {

// All functions are called on the thread that takes the queue's events.
class LoadCall {
 public:
  // Receives the events of the call.
  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void OnAnswer(v1::StreamingInferResponse* response) = 0;
    // Another message can be written.
    virtual void OnWritable() = 0;
    // The call has ended and nothing follows. The handler may delete the call.
    virtual void OnEnd(const absl::Status& status) = 0;
  };

  // `queue` and `handler` must outlive the call.
  LoadCall(std::shared_ptr<LoadConnection> connection, grpc::CompletionQueue* queue,
           Handler* handler);

  // Opens the call and sends `config`.
  void Start(v1::StreamingInferRequest config);
  // REQUIRES: writable()
  void Write(const v1::StreamingInferRequest& request);
  void WritesDone();
  void Cancel() { context_.TryCancel(); }

  bool writable() const { return writable_; }
  LoadConnection& connection() { return *connection_; }

  // Handles an event that the queue has returned: calls the handler of its call.
  static void Handle(void* tag, bool ok);

 private:
  enum class Op { kStart, kRead, kWrite, kFinish };
  struct Tag {
    LoadCall* call;
    Op op;
  };

  void* Begin(Op op);
  void OnDone(Op op, bool ok);

  const std::shared_ptr<LoadConnection> connection_;
  grpc::CompletionQueue& queue_;
  Handler& handler_;
  Tag tags_[4];
  int pending_ = 0;  // operations under way
  bool writable_ = false;
  bool writes_done_ = false;
  bool reading_ended_ = false;
  v1::StreamingInferRequest config_;
  v1::StreamingInferResponse response_;
  grpc::Status status_;
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientAsyncReaderWriter<v1::StreamingInferRequest, v1::StreamingInferResponse>>
      stream_;
};

}  // namespace ese
