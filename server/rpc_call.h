// SPDX-License-Identifier: Apache-2.0
// One call on its loop: gRPC's completion queue events as reactions of a handler.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "base/clock.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/grpcpp.h"
#include "server/call_loop.h"

namespace ese {

// gRPC's status for a status of ours.
grpc::Status ToGrpcStatus(const absl::Status& status);

// What a call does. Reactions come on the loop's thread. A handler must call RpcCall::Finish or
// WriteAndFinish exactly once, also after OnCancel, and nothing afterwards.
class CallHandler {
 public:
  virtual ~CallHandler() = default;

  virtual void OnStart() = 0;
  // !ok: there are no more messages, or the call has broken off (OnCancel follows, or came).
  virtual void OnReadDone(bool ok) = 0;
  virtual void OnWriteDone(bool ok) = 0;
  // The client has gone or its deadline has passed.
  virtual void OnCancel() = 0;
  virtual void OnTimer() {}
  // The RpcCall goes; the last reaction.
  virtual void OnDone() {}
};

// Used on the loop's thread only. Owns itself and its handler, until OnDone.
class RpcCall {
 public:
  CallLoop* loop() const { return loop_; }
  const std::string& method() const { return context_.method(); }
  // Why a call was cancelled: DEADLINE_EXCEEDED or CANCELLED.
  absl::Status WhyCancelled() const;
  bool IsCancelled() const { return context_.IsCancelled(); }

  // One read and one write at a time; the buffers must stay until the reaction comes.
  void Read(grpc::ByteBuffer* message);
  void Write(const grpc::ByteBuffer& message);
  // With the hint of base/retry_after.h, if the status has one, as trailing metadata
  // retry-after-ms.
  void Finish(const absl::Status& status);
  // With OK.
  void WriteAndFinish(const grpc::ByteBuffer& message);
  // Breaks the call off, also a write that its client does not take.
  void Cancel() { context_.TryCancel(); }
  // OnTimer comes at `at` or soon after, once; replaces what was set before.
  void SetTimer(TimePoint at);

 private:
  friend class CallLoop;
  struct Tag {
    RpcCall* call;
    void (RpcCall::*reaction)(bool ok);
  };

  RpcCall(CallLoop* loop) : loop_(loop), stream_(&context_) {}

  static void Await(CallLoop* loop, grpc::AsyncGenericService* service,
                    grpc::ServerCompletionQueue* queue);
  static void OnEvent(void* tag, bool ok);
  void OnTimer();

  void Started(bool ok);
  void ReadDone(bool ok) { handler_->OnReadDone(ok); }
  void WriteDone(bool ok) { handler_->OnWriteDone(ok); }
  void Finished(bool /*ok*/) { finished_ = true; }
  void Ended(bool ok);
  // Counts the operation whose event will come with the tag.
  Tag* Begin(Tag& tag);

  CallLoop* const loop_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_;
  std::shared_ptr<CallHandler> handler_;
  TimePoint timer_{};
  int under_way_ = 0;      // operations whose events have not come
  bool finished_ = false;  // Finish's event has come
  bool ended_ = false;     // the call is over for gRPC

  Tag started_tag_{this, &RpcCall::Started};
  Tag read_tag_{this, &RpcCall::ReadDone};
  Tag write_tag_{this, &RpcCall::WriteDone};
  Tag finish_tag_{this, &RpcCall::Finished};
  Tag ended_tag_{this, &RpcCall::Ended};
};

// Ends a call with an error at once.
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
