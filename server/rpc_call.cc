// SPDX-License-Identifier: Apache-2.0
#include "server/rpc_call.h"

#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/retry_after.h"

namespace ese {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

absl::Status RpcCall::WhyCancelled() const {
  return std::chrono::system_clock::now() >= context_.deadline()
             ? absl::DeadlineExceededError("the call's deadline has passed")
             : absl::CancelledError("the call was cancelled");
}

void RpcCall::Read(grpc::ByteBuffer* message) {
  message_ = message;
  stream_.Read(message, Begin(read_tag_));
}

void RpcCall::Write(const grpc::ByteBuffer& message) { stream_.Write(message, Begin(write_tag_)); }

void RpcCall::Finish(const absl::Status& status) {
  if (const auto after = status.ok() ? std::nullopt : RetryAfter(status)) {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*after).count();
    context_.AddTrailingMetadata("retry-after-ms", absl::StrCat(ms));
  }
  stream_.Finish(ToGrpcStatus(status), Begin(finish_tag_));
}

void RpcCall::WriteAndFinish(const grpc::ByteBuffer& message) {
  stream_.WriteAndFinish(message, grpc::WriteOptions(), grpc::Status::OK, Begin(finish_tag_));
}

void RpcCall::NoteUseful() {
  if (std::exchange(useful_, true)) return;
  if (connection_) connection_->CallBecameUseful();
}

void RpcCall::SetTimer(TimePoint at) {
  loop_->SetTimer(this, timer_, at);
  timer_ = at;
}

void RpcCall::Request(CallLoop* loop, grpc::AsyncGenericService* service,
                      grpc::ServerCompletionQueue* queue) {
  auto* call = new RpcCall(loop);
  call->context_.AsyncNotifyWhenDone(&call->ended_tag_);  // completes only if the call starts
  service->RequestCall(&call->context_, &call->stream_, queue, queue,
                       call->Begin(call->started_tag_));
}

void RpcCall::OnEvent(void* tag, bool ok) {
  const Tag& event = *static_cast<Tag*>(tag);
  RpcCall* const call = event.call;
  --call->in_flight_;
  (call->*event.reaction)(ok);
  if (call->in_flight_ > 0 || (call->handler_ && !(call->ended_ && call->finished_))) return;
  if (call->handler_) {
    call->loop_->ClearTimer(call, call->timer_);
    if (call->connection_) {
      const bool cancelled_unanswered = !call->answered_ && call->context_.IsCancelled();
      call->connection_->CallEnded(call->useful_, !call->useful_ || cancelled_unanswered);
    }
    call->handler_->OnDone();
  }
  CallLoop* const loop = call->loop_;
  delete call;
  loop->NoteCallDeleted();
}

void RpcCall::OnTimer() {
  loop_->ClearTimer(this, timer_);
  handler_->OnTimer();
}

void RpcCall::Started(bool ok) {
  if (!ok) return;  // the server is shutting down
  ++in_flight_;     // ended_tag_
  loop_->RequestCall();
  if (const auto& find = loop_->hooks_.find_connection) connection_ = find(context_.peer());
  if (connection_) connection_->CallBegan();
  handler_ = loop_->accept_(this);
  handler_->OnStart();
}

void RpcCall::ReadDone(bool ok) {
  if (ok && connection_) connection_->MessageRead(message_->Length());
  handler_->OnReadDone(ok);
}

void RpcCall::WriteDone(bool ok) {
  answered_ = answered_ || ok;
  if (ok && connection_) connection_->MessageWritten();
  handler_->OnWriteDone(ok);
}

void RpcCall::Ended(bool /*ok*/) {
  ended_ = true;
  if (context_.IsCancelled()) handler_->OnCancel();
}

RpcCall::Tag* RpcCall::Begin(Tag& tag) {
  ++in_flight_;
  return &tag;
}

}  // namespace ese
