// SPDX-License-Identifier: Apache-2.0
#include "server/unary_call.h"

namespace ese {

void UnaryCall::OnStart() {
  call_->SetTimer(Clock::Real()->Now() + kPatience);
  call_->Read(&request_);
}

void UnaryCall::OnReadDone(bool ok) {
  if (finished_) return;
  if (!ok) return Finish(absl::InvalidArgumentError("the call ended before its request came"));
  absl::StatusOr<grpc::ByteBuffer> response = method_(&request_);
  if (!response.ok()) return Finish(response.status());
  call_->NoteUseful();
  response_ = *std::move(response);
  finished_ = true;
  call_->SetTimer(Clock::Real()->Now() + kPatience);
  call_->WriteAndFinish(response_);
}

void UnaryCall::OnCancel() {
  if (!finished_) Finish(call_->WhyCancelled());
}

void UnaryCall::OnTimer() {
  if (finished_) return call_->Cancel();
  Finish(absl::DeadlineExceededError("no request came; send it as soon as the call starts"));
}

void UnaryCall::Finish(const absl::Status& status) {
  finished_ = true;
  call_->Finish(status);
}

}  // namespace ese
