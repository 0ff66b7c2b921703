// SPDX-License-Identifier: Apache-2.0
#include "client/speech_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {

void SpeechStream::Call::Start(const v1::StreamingConfig& config) {
  MutexLock lock(mutex_);
  stub_->async()->StreamingInfer(&context_, this);
  // The user's threads start operations too, so gRPC must not finish before reading has ended.
  AddHold();
  *request_.mutable_config() = config;
  write_busy_ = true;
  owed_since_ = Clock::Real()->Now();
  StartWrite(&request_);
  StartRead(&response_);
  StartCall();
}

absl::Status SpeechStream::Call::Send(std::string chunk) {
  MutexLock lock(mutex_);
  ESE_RETURN_IF_ERROR(AwaitWritable());
  NoteSending();
  ++sent_;
  request_.set_chunk(std::move(chunk));
  write_busy_ = true;
  StartWrite(&request_);
  return absl::OkStatus();
}

absl::Status SpeechStream::Call::HalfClose() {
  MutexLock lock(mutex_);
  ESE_RETURN_IF_ERROR(AwaitWritable());
  NoteSending();
  half_closed_ = true;
  StartWritesDone();
  changed_.NotifyAll();  // Receive now waits with a time limit
  return absl::OkStatus();
}

absl::StatusOr<bool> SpeechStream::Call::Receive(v1::StreamingInferResponse* response) {
  MutexLock lock(mutex_);
  while (!response_ready_ && !read_end_) ESE_RETURN_IF_ERROR(AwaitChange());
  if (response_ready_) {
    *response = std::move(response_);
    response_.Clear();
    response_ready_ = false;
    StartRead(&response_);
    return true;
  }
  ESE_RETURN_IF_ERROR(FinalStatus());
  return false;
}

void SpeechStream::Call::CancelAndWait() {
  context_.TryCancel();
  MutexLock lock(mutex_);
  discard_ = true;
  if (response_ready_) {
    response_ready_ = false;
    StartRead(&response_);  // so that reading reaches its end
  }
  while (!done_) changed_.Wait(mutex_);
}

void SpeechStream::Call::OnReadDone(bool ok) {
  {
    MutexLock lock(mutex_);
    if (ok) {
      accepted_ = true;
      answered_ = response_.chunks_done();
      owed_since_ = Clock::Real()->Now();
      if (discard_) {
        StartRead(&response_);
      } else {
        response_ready_ = true;
      }
    } else {
      read_end_ = true;
    }
    changed_.NotifyAll();
  }
  if (!ok) RemoveHold();
}

void SpeechStream::Call::OnWriteDone(bool /*ok*/) {
  // If the write failed, reading ends too and FinalStatus has the reason.
  MutexLock lock(mutex_);
  write_busy_ = false;
  changed_.NotifyAll();
}

void SpeechStream::Call::OnDone(const grpc::Status& status) {
  MutexLock lock(mutex_);
  status_ = FromGrpc(status, options_.address, context_);
  done_ = true;
  changed_.NotifyAll();
}

void SpeechStream::Call::NoteSending() {
  if (!ServerOwes()) owed_since_ = Clock::Real()->Now();
  changed_.NotifyAll();
}

absl::Status SpeechStream::Call::AwaitChange() {
  const TimePoint deadline = owed_since_ + options_.timeout;
  if (!ServerOwes()) {
    changed_.Wait(mutex_);
  } else if (Clock::Real()->Now() < deadline) {
    changed_.WaitUntil(mutex_, deadline);
  } else {
    context_.TryCancel();
    return absl::DeadlineExceededError(absl::StrCat(
        "server ", options_.address, " answered nothing for ", ToSeconds(options_.timeout),
        " s; check whether it hangs or is overloaded, or wait longer (--timeout)"));
  }
  return absl::OkStatus();
}

absl::Status SpeechStream::Call::FinalStatus() {
  // Once reading has ended, gRPC ends the call in bounded time.
  while (!done_) changed_.Wait(mutex_);
  return status_;
}

absl::Status SpeechStream::Call::AwaitWritable() {
  while (write_busy_ && !read_end_) ESE_RETURN_IF_ERROR(AwaitChange());
  if (!read_end_) return absl::OkStatus();
  ESE_RETURN_IF_ERROR(FinalStatus());
  return absl::AbortedError(
      absl::StrCat("server ", options_.address, " ended the call before the content had ended"));
}

}  // namespace ese
