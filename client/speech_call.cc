// SPDX-License-Identifier: Apache-2.0
#include "client/speech_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {

void SpeechStream::Call::Start(const v1::StreamingConfig& config) {
  Lock lock(mutex_);
  stub_->async()->StreamingInfer(&context_, this);
  // Operations are started from the user's threads, until the reading side ends.
  AddHold();
  *request_.mutable_config() = config;
  write_busy_ = true;
  owed_since_ = Clock::Real()->Now();
  StartWrite(&request_);
  StartRead(&response_);
  StartCall();
}

absl::Status SpeechStream::Call::Send(std::string chunk) {
  Lock lock(mutex_);
  ESE_RETURN_IF_ERROR(AwaitWritable(lock));
  NoteSending();
  ++sent_;
  request_.set_chunk(std::move(chunk));
  write_busy_ = true;
  StartWrite(&request_);
  return absl::OkStatus();
}

absl::Status SpeechStream::Call::HalfClose() {
  Lock lock(mutex_);
  ESE_RETURN_IF_ERROR(AwaitWritable(lock));
  NoteSending();
  half_closed_ = true;
  StartWritesDone();
  changed_.notify_all();  // Receive has a time limit from now on
  return absl::OkStatus();
}

absl::StatusOr<bool> SpeechStream::Call::Receive(v1::StreamingInferResponse* response) {
  Lock lock(mutex_);
  ESE_RETURN_IF_ERROR(Await(lock, [this] { return response_ready_ || read_end_; }));
  if (response_ready_) {
    *response = std::move(response_);
    response_.Clear();
    response_ready_ = false;
    StartRead(&response_);
    return true;
  }
  ESE_RETURN_IF_ERROR(FinalStatus(lock));
  return false;
}

void SpeechStream::Call::CancelAndWait() {
  context_.TryCancel();
  Lock lock(mutex_);
  discard_ = true;
  if (response_ready_) {
    response_ready_ = false;
    StartRead(&response_);  // so that the reading side finds its end
  }
  changed_.wait(lock, [this] { return done_; });
}

void SpeechStream::Call::OnReadDone(bool ok) {
  {
    Lock lock(mutex_);
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
    changed_.notify_all();
  }
  if (!ok) RemoveHold();
}

void SpeechStream::Call::OnWriteDone(bool /*ok*/) {
  // Of a failed write the reading side tells the reason.
  Lock lock(mutex_);
  write_busy_ = false;
  changed_.notify_all();
}

void SpeechStream::Call::OnDone(const grpc::Status& status) {
  Lock lock(mutex_);
  status_ = FromGrpc(status, options_.address, context_);
  done_ = true;
  changed_.notify_all();
}

void SpeechStream::Call::NoteSending() {
  if (!ServerOwes()) owed_since_ = Clock::Real()->Now();
  changed_.notify_all();
}

template <typename Predicate>
absl::Status SpeechStream::Call::Await(Lock& lock, Predicate pred) {
  while (!pred()) {
    if (!ServerOwes()) {
      changed_.wait(lock);
    } else if (const TimePoint deadline = owed_since_ + options_.timeout;
               Clock::Real()->Now() < deadline) {
      changed_.wait_until(lock, deadline);
    } else {
      context_.TryCancel();
      return absl::DeadlineExceededError(absl::StrCat(
          "server ", options_.address, " answered nothing for ", ToSeconds(options_.timeout),
          " s; see whether it hangs or is overloaded, or wait longer (--timeout)"));
    }
  }
  return absl::OkStatus();
}

absl::Status SpeechStream::Call::FinalStatus(Lock& lock) {
  // gRPC itself ends the call in bounded time once its status has come.
  changed_.wait(lock, [this] { return done_; });
  return status_;
}

absl::Status SpeechStream::Call::AwaitWritable(Lock& lock) {
  ESE_RETURN_IF_ERROR(Await(lock, [this] { return !write_busy_ || read_end_; }));
  if (!read_end_) return absl::OkStatus();
  ESE_RETURN_IF_ERROR(FinalStatus(lock));
  return absl::AbortedError(
      absl::StrCat("server ", options_.address, " ended the call before the content had ended"));
}

}  // namespace ese
