// SPDX-License-Identifier: Apache-2.0
#include "load/call.h"

#include <utility>

#include "client/speech_client.h"

namespace ese {

LoadCall::LoadCall(std::shared_ptr<LoadConnection> connection, grpc::CompletionQueue* queue,
                   Handler* handler)
    : connection_(std::move(connection)),
      queue_(*queue),
      handler_(*handler),
      tags_{{this, Op::kStart}, {this, Op::kRead}, {this, Op::kWrite}, {this, Op::kFinish}} {}

void* LoadCall::Begin(Op op) {
  ++pending_;
  return &tags_[static_cast<int>(op)];
}

void LoadCall::Start(v1::StreamingInferRequest config) {
  config_ = std::move(config);
  stream_ = connection_->stub().PrepareAsyncStreamingInfer(&context_, &queue_);
  stream_->StartCall(Begin(Op::kStart));
}

void LoadCall::Write(const v1::StreamingInferRequest& request) {
  writable_ = false;
  stream_->Write(request, Begin(Op::kWrite));
}

void LoadCall::WritesDone() {
  writable_ = false;
  writes_done_ = true;
  stream_->WritesDone(Begin(Op::kWrite));
}

void LoadCall::Handle(void* tag, bool ok) {
  const auto* t = static_cast<const Tag*>(tag);
  t->call->OnDone(t->op, ok);
}

void LoadCall::OnDone(Op op, bool ok) {
  --pending_;
  switch (op) {
    case Op::kStart:
      if (ok) {
        Write(config_);
        config_.Clear();
      }
      // Read even if the call could not be started: reading then reports its end.
      stream_->Read(&response_, Begin(Op::kRead));
      break;
    case Op::kRead:
      if (ok) {
        handler_.OnAnswer(&response_);
        stream_->Read(&response_, Begin(Op::kRead));
      } else {
        reading_ended_ = true;
        stream_->Finish(&status_, Begin(Op::kFinish));
      }
      break;
    case Op::kWrite:
      // If a write failed, reading ends too, and Finish has the reason.
      writable_ = ok && !reading_ended_ && !writes_done_;
      if (writable_) handler_.OnWritable();
      break;
    case Op::kFinish:
      break;
  }
  if (pending_ > 0) return;
  if (status_.error_code() == grpc::StatusCode::UNAVAILABLE) connection_->NoteBroken();
  // Nothing may follow this line: the handler may delete the call.
  handler_.OnEnd(FromGrpc(status_, connection_->address(), context_));
}

}  // namespace ese
