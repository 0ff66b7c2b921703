// SPDX-License-Identifier: Apache-2.0
#include "client/resuming_stream.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {
namespace {

absl::Status Cancelled() { return absl::CancelledError("the stream was cancelled"); }

v1::StreamingConfig WithCheckpoints(v1::StreamingConfig config, uint32_t every_frames) {
  config.set_checkpoint_every_frames(every_frames);
  return config;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ResumingClient>> ResumingClient::Connect(
    const ResumingClientOptions& options) {
  if (options.addresses.empty()) {
    return absl::InvalidArgumentError("no server address was given; give one as HOST:PORT");
  }
  Servers servers;
  for (const std::string& address : options.addresses) {
    ESE_ASSIGN_OR_RETURN(std::unique_ptr<SpeechClient> server,
                         SpeechClient::Create({address, options.timeout, options.access}));
    servers.push_back(std::move(server));
  }
  std::vector<absl::Status> errors;
  for (size_t i = 0; i < servers.size(); ++i) {
    const absl::Status status = servers[i]->AwaitConnection();
    if (status.ok()) {
      return std::unique_ptr<ResumingClient>(new ResumingClient(options, std::move(servers), i));
    }
    errors.push_back(status);
  }
  return ErrorOfAllServers(errors.front(), errors);
}

absl::StatusOr<v1::ListModelsResponse> ResumingClient::ListModels() const {
  return (*servers_)[reached_]->ListModels();
}

absl::StatusOr<v1::Model> ResumingClient::FindModel(const std::string& name) const {
  return (*servers_)[reached_]->FindModel(name);
}

std::unique_ptr<ResumingStream> ResumingClient::Open(const v1::StreamingConfig& config) const {
  return std::unique_ptr<ResumingStream>(new ResumingStream(servers_, reached_, options_, config));
}

ResumingStream::ResumingStream(std::shared_ptr<const ResumingClient::Servers> servers,
                               size_t first_server, const ResumingClientOptions& options,
                               const v1::StreamingConfig& config)
    : servers_(std::move(servers)),
      cursor_(WithCheckpoints(config, options.checkpoint_every_frames)),
      policy_(servers_->size(), first_server, options.reconnect, std::random_device()()),
      buffer_(options.max_kept_bytes) {
  OpenCall();
  sender_ = std::thread([this] { SendLoop(); });
}

ResumingStream::~ResumingStream() {
  Cancel();
  (void)End(Cancelled());
  sender_.join();
}

absl::Status ResumingStream::Send(std::string chunk) {
  MutexLock lock(mutex_);
  while (!ended_ && buffer_.full()) changed_.Wait(mutex_);
  if (ended_) {
    return end_.ok() ? absl::AbortedError("the server ended the stream before all content was sent")
                     : end_;
  }
  buffer_.Append(std::move(chunk));
  changed_.NotifyAll();
  return absl::OkStatus();
}

absl::Status ResumingStream::HalfClose() {
  MutexLock lock(mutex_);
  half_close_ = true;
  changed_.NotifyAll();
  return ended_ ? end_ : absl::OkStatus();
}

void ResumingStream::Cancel() {
  MutexLock lock(mutex_);
  cancelled_ = true;
  call_->Cancel();
  changed_.NotifyAll();
}

absl::StatusOr<bool> ResumingStream::Receive(v1::StreamingInferResponse* response) {
  while (true) {
    std::shared_ptr<SpeechStream> call;
    {
      MutexLock lock(mutex_);
      if (ended_) {
        ESE_RETURN_IF_ERROR(end_);
        return false;
      }
      call = call_;
    }
    const absl::StatusOr<bool> more = call->Receive(response);
    if (more.ok() && *more) {
      const absl::StatusOr<bool> shown = Take(response);
      if (!shown.ok()) return End(shown.status());
      if (*shown) return true;
    } else if (more.ok() || cursor_.ledger().is_final()) {
      // A call that broke after its final response has lost nothing.
      (void)End(absl::OkStatus());
    } else if (absl::Status status = Reopen(more.status()); !status.ok()) {
      return End(std::move(status));
    }
  }
}

absl::StatusOr<bool> ResumingStream::Take(v1::StreamingInferResponse* response) {
  const bool first_call = !cursor_.ledger().ever_accepted();
  ESE_ASSIGN_OR_RETURN(const ResumeCursor::Answer answer, cursor_.Accept(response));
  if (answer.acceptance && !first_call) ++resumed_;
  MutexLock lock(mutex_);
  if (answer.checkpoint) {
    ESE_RETURN_IF_ERROR(buffer_.DropTo(cursor_.checkpoint_bytes()));
  } else if (buffer_.keeps() && buffer_.full() && !buffer_.has_unsent() &&
             cursor_.ledger().chunks() == buffer_.first_chunk() + buffer_.kept_chunks()) {
    buffer_.StopKeeping();
  }
  changed_.NotifyAll();
  return answer.shown;
}

void ResumingStream::OpenCall() {
  {
    MutexLock lock(mutex_);
    cursor_.BeginCall(buffer_.first_chunk());
  }
  // Declared before the lock, so that the old call is destroyed without it: that may wait.
  std::shared_ptr<SpeechStream> call = (*servers_)[policy_.server()]->Open(cursor_.config());
  MutexLock lock(mutex_);
  call_.swap(call);
  call_failed_ = false;
  half_close_sent_ = false;
  buffer_.Rewind();
  if (cancelled_) call_->Cancel();
  changed_.NotifyAll();
}

absl::Status ResumingStream::Reopen(const absl::Status& status) {
  MutexLock lock(mutex_);
  // A cancelled stream ends as such, even if its call broke just before and has another status.
  if (cancelled_) return Cancelled();
  if (!buffer_.keeps()) {
    return absl::Status(status.code(),
                        absl::StrCat(status.message(),
                                     "; the stream cannot continue on another server, because its "
                                     "server gave no checkpoint"));
  }
  call_failed_ = true;
  const TimePoint now = Clock::Real()->Now();
  ESE_ASSIGN_OR_RETURN(const Duration wait, policy_.Next(status, cursor_.progress(), now));
  while (!cancelled_ && changed_.WaitUntil(mutex_, now + wait)) {
  }
  if (cancelled_) return Cancelled();
  lock.Unlock();
  OpenCall();
  return absl::OkStatus();
}

absl::Status ResumingStream::End(absl::Status status) {
  MutexLock lock(mutex_);
  if (!ended_) {
    ended_ = true;
    end_ = status;
  }
  changed_.NotifyAll();
  return status;
}

bool ResumingStream::CanSend() const {
  return !call_failed_ && (buffer_.has_unsent() || (half_close_ && !half_close_sent_));
}

void ResumingStream::SendLoop() {
  MutexLock lock(mutex_);
  while (true) {
    while (!ended_ && !CanSend()) changed_.Wait(mutex_);
    if (ended_) return;
    const std::shared_ptr<SpeechStream> call = call_;
    absl::Status status;
    if (buffer_.has_unsent()) {
      std::string chunk = buffer_.Next();
      lock.Unlock();
      status = call->Send(std::move(chunk));
    } else {
      half_close_sent_ = true;
      lock.Unlock();
      status = call->HalfClose();
    }
    lock.Lock();
    // The receiving thread learns the reason from Receive.
    if (!status.ok() && call == call_) call_failed_ = true;
  }
}

}  // namespace ese
