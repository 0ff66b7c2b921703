// SPDX-License-Identifier: Apache-2.0
// A call of a load test on gRPC's completion queue, so that one thread drives thousands of them.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "ese/v1/speech.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "load/connection.h"

namespace ese {

// All on the thread that takes the queue's events.
class LoadCall {
 public:
  // Told of what happens to the call.
  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void OnAnswer(v1::StreamingInferResponse* response) = 0;
    // Another message may be written.
    virtual void OnWritable() = 0;
    // Nothing follows; the call may be deleted.
    virtual void OnEnd(const absl::Status& status) = 0;
  };

  // All must outlive the call.
  LoadCall(std::shared_ptr<LoadConnection> connection, grpc::CompletionQueue* queue,
           Handler* handler);

  // Opens the call with that config.
  void Start(v1::StreamingInferRequest config);
  // REQUIRES: writable()
  void Write(const v1::StreamingInferRequest& request);
  void WritesDone();
  void Cancel() { context_.TryCancel(); }

  bool writable() const { return writable_; }
  LoadConnection& connection() { return *connection_; }

  // What the queue has returned, with which the call's handler is called.
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
  int pending_ = 0;  // operations
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
