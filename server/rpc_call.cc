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

void RpcCall::Read(grpc::ByteBuffer* message) { stream_.Read(message, Begin(read_tag_)); }

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
  if (const auto& on_useful = loop_->hooks_.on_useful_call) on_useful(context_.peer());
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
    const auto& on_wasted = call->loop_->hooks_.on_wasted_call;
    if (!call->useful_ && on_wasted) on_wasted(call->context_.peer());
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
  handler_ = loop_->accept_(this);
  handler_->OnStart();
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
