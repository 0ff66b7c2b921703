// SPDX-License-Identifier: Apache-2.0
// One gRPC call on its loop. RpcCall turns the events of gRPC's completion queue into calls of a
// handler.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/grpcpp.h"
#include "server/call_loop.h"

namespace ese {

// Converts a status to gRPC's type.
grpc::Status ToGrpcStatus(const absl::Status& status);

// Handles one call of an RPC method. All its functions are called on the loop's thread. A handler
// must call RpcCall::Finish or WriteAndFinish exactly once, even after OnCancel. After that it must
// not start another operation.
class CallHandler {
 public:
  virtual ~CallHandler() = default;

  virtual void OnStart() = 0;
  // !ok means that there are no more messages, or that the call was cancelled. In the second case
  // OnCancel is called as well, earlier or later.
  virtual void OnReadDone(bool ok) = 0;
  virtual void OnWriteDone(bool ok) = 0;
  // The client has gone, the call's deadline has passed, or RpcCall::Cancel was called.
  virtual void OnCancel() = 0;
  virtual void OnTimer() {}
  // Called last. The RpcCall is deleted afterwards.
  virtual void OnDone() {}
};

// Use it on the loop's thread only. It keeps its handler alive, and deletes itself after OnDone.
class RpcCall {
 public:
  CallLoop* loop() const { return loop_; }
  const std::string& method() const { return context_.method(); }
  // The client has sent what the call needs to begin. The connection is told, once.
  void NoteUseful();
  const grpc::ServerContextBase& context() const { return context_; }
  // Returns why the call was cancelled: DEADLINE_EXCEEDED or CANCELLED.
  absl::Status WhyCancelled() const;
  bool IsCancelled() const { return context_.IsCancelled(); }

  // At most one read and one write may be in flight. The buffers must stay valid until OnReadDone
  // or OnWriteDone.
  void Read(grpc::ByteBuffer* message);
  void Write(const grpc::ByteBuffer& message);
  // If the status has a hint when to try again (base/retry_after.h), sends it as the trailing
  // metadata retry-after-ms.
  void Finish(const absl::Status& status);
  // Finishes with OK.
  void WriteAndFinish(const grpc::ByteBuffer& message);
  // Cancels the call, including a write that the client does not read.
  void Cancel() { context_.TryCancel(); }
  // Calls OnTimer once, at `at` or soon after. Replaces the time that was set before.
  void SetTimer(TimePoint at);

 private:
  friend class CallLoop;
  struct Tag {
    RpcCall* call;
    void (RpcCall::*reaction)(bool ok);
  };

  explicit RpcCall(CallLoop* loop) : loop_(loop), stream_(&context_) {}

  // Asks gRPC for the next call.
  static void Request(CallLoop* loop, grpc::AsyncGenericService* service,
                      grpc::ServerCompletionQueue* queue);
  static void OnEvent(void* tag, bool ok);
  void OnTimer();

  void Started(bool ok);
  void ReadDone(bool ok);
  void WriteDone(bool ok);
  void Finished(bool /*ok*/) { finished_ = true; }
  void Ended(bool ok);
  // Counts the operation that will complete with this tag, and returns the tag.
  Tag* Begin(Tag& tag);

  CallLoop* const loop_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_;
  std::shared_ptr<CallHandler> handler_;
  TimePoint timer_{};
  int in_flight_ = 0;                       // operations that have not completed
  std::shared_ptr<Connection> connection_;  // null if it is not known
  grpc::ByteBuffer* message_ = nullptr;     // that is being read
  bool useful_ = false;
  bool answered_ = false;  // a response has been written
  bool finished_ = false;  // Finish has completed
  bool ended_ = false;     // gRPC has reported the end of the call

  Tag started_tag_{this, &RpcCall::Started};
  Tag read_tag_{this, &RpcCall::ReadDone};
  Tag write_tag_{this, &RpcCall::WriteDone};
  Tag finish_tag_{this, &RpcCall::Finished};
  Tag ended_tag_{this, &RpcCall::Ended};
};

// Ends a call with an error immediately.
class RefusedCall final : public CallHandler {
 public:
  RefusedCall(RpcCall* call, absl::Status status) : call_(call), status_(std::move(status)) {}

 private:
  void OnStart() override { call_->Finish(status_); }
  void OnReadDone(bool) override {}
  void OnWriteDone(bool) override {}
  void OnCancel() override {}

  RpcCall* const call_;
  const absl::Status status_;
};

}  // namespace ese
