// SPDX-License-Identifier: Apache-2.0
#include "client/resuming_stream.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {
namespace {

absl::Status Cancelled() { return absl::CancelledError("the stream was cancelled"); }

}  // namespace

absl::StatusOr<std::unique_ptr<ResumingClient>> ResumingClient::Connect(
    const ResumingClientOptions& options) {
  if (options.addresses.empty()) {
    return absl::InvalidArgumentError("there is no server's address; give one as HOST:PORT");
  }
  Servers servers;
  for (const std::string& address : options.addresses) {
    ESE_ASSIGN_OR_RETURN(std::unique_ptr<SpeechClient> server,
                         SpeechClient::Create({address, options.timeout}));
    servers.push_back(std::move(server));
  }
  absl::Status first_error;
  for (size_t i = 0; i < servers.size(); ++i) {
    const absl::Status status = servers[i]->AwaitConnection();
    if (status.ok()) {
      return std::unique_ptr<ResumingClient>(new ResumingClient(options, std::move(servers), i));
    }
    first_error.Update(status);
  }
  return first_error;
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
      config_(config),
      policy_(servers_->size(), first_server, options.reconnect, std::random_device()()),
      buffer_(options.max_kept_bytes) {
  config_.set_checkpoint_every_frames(options.checkpoint_every_frames);
  OpenCall();
  sender_ = std::thread([this] { SendLoop(); });
}

ResumingStream::~ResumingStream() {
  Cancel();
  (void)End(Cancelled());
  sender_.join();
}

absl::Status ResumingStream::Send(std::string chunk) {
  Lock lock(mutex_);
  changed_.wait(lock, [this] { return ended_ || !buffer_.full(); });
  if (ended_) {
    return end_.ok() ? absl::AbortedError("the server ended the stream before its content") : end_;
  }
  buffer_.Append(std::move(chunk));
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status ResumingStream::HalfClose() {
  Lock lock(mutex_);
  half_close_ = true;
  changed_.notify_all();
  return ended_ ? end_ : absl::OkStatus();
}

void ResumingStream::Cancel() {
  Lock lock(mutex_);
  cancelled_ = true;
  call_->Cancel();
  changed_.notify_all();
}

absl::StatusOr<bool> ResumingStream::Receive(v1::StreamingInferResponse* response) {
  while (true) {
    // Only this thread changes call_ and end_, but for the destructor.
    if (ended_) {
      ESE_RETURN_IF_ERROR(end_);
      return false;
    }
    const absl::StatusOr<bool> more = call_->Receive(response);
    if (more.ok() && *more) {
      const absl::StatusOr<bool> shown = Take(response);
      if (!shown.ok()) return End(shown.status());
      if (*shown) return true;
    } else if (more.ok() || ledger_.is_final()) {
      // A call that broke after its final response has lost nothing.
      (void)End(absl::OkStatus());
    } else if (absl::Status status = GoOn(more.status()); !status.ok()) {
      return End(std::move(status));
    }
  }
}

absl::StatusOr<bool> ResumingStream::Take(v1::StreamingInferResponse* response) {
  const bool resumes = ledger_.ever_accepted() && !ledger_.call_accepted();
  v1::Checkpoint checkpoint;
  checkpoint.Swap(response->mutable_checkpoint());
  response->clear_checkpoint();
  ESE_ASSIGN_OR_RETURN(const bool shown, ledger_.Accept(response));
  if (resumes) ++resumed_;
  news_ = news_ || shown || checkpoint.frames() > checkpoint_frames_;
  Lock lock(mutex_);
  if (!checkpoint.token().empty()) {
    ESE_RETURN_IF_ERROR(buffer_.DropTo(checkpoint.content_bytes()));
    checkpoint_frames_ = checkpoint.frames();
    config_.set_resume_token(std::move(*checkpoint.mutable_token()));
  } else if (buffer_.keeps() && buffer_.full() && !buffer_.has_unsent() &&
             ledger_.chunks() == buffer_.first_chunk() + buffer_.kept_chunks()) {
    buffer_.StopKeeping();
  }
  changed_.notify_all();
  return shown;
}

void ResumingStream::OpenCall() {
  ledger_.BeginCall(checkpoint_frames_, buffer_.first_chunk());
  news_ = false;
  std::shared_ptr<SpeechStream> call = (*servers_)[policy_.server()]->Open(config_);
  Lock lock(mutex_);
  call_.swap(call);
  call_failed_ = false;
  half_close_sent_ = false;
  buffer_.Rewind();
  if (cancelled_) call_->Cancel();
  changed_.notify_all();
}

absl::Status ResumingStream::GoOn(const absl::Status& status) {
  Lock lock(mutex_);
  // Whatever the call ended with: it may have broken just before.
  if (cancelled_) return Cancelled();
  if (!buffer_.keeps()) {
    return absl::Status(status.code(), absl::StrCat(status.message(),
                                                    "; the stream cannot go on elsewhere, as its ",
                                                    "server gave no checkpoint"));
  }
  call_failed_ = true;
  const auto progress = news_                     ? ReconnectPolicy::Progress::kNews
                        : ledger_.ever_accepted() ? ReconnectPolicy::Progress::kNothing
                                                  : ReconnectPolicy::Progress::kNone;
  ESE_ASSIGN_OR_RETURN(const Duration wait, policy_.Next(status, progress, Clock::Real()->Now()));
  changed_.wait_for(lock, wait, [this] { return cancelled_; });
  if (cancelled_) return Cancelled();
  lock.unlock();
  OpenCall();
  return absl::OkStatus();
}

absl::Status ResumingStream::End(absl::Status status) {
  Lock lock(mutex_);
  if (!ended_) {
    ended_ = true;
    end_ = status;
  }
  changed_.notify_all();
  return status;
}

void ResumingStream::SendLoop() {
  Lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] {
      return ended_ ||
             (!call_failed_ && (buffer_.has_unsent() || (half_close_ && !half_close_sent_)));
    });
    if (ended_) return;
    const std::shared_ptr<SpeechStream> call = call_;
    absl::Status status;
    if (buffer_.has_unsent()) {
      std::string chunk = buffer_.Next();
      lock.unlock();
      status = call->Send(std::move(chunk));
    } else {
      half_close_sent_ = true;
      lock.unlock();
      status = call->HalfClose();
    }
    lock.lock();
    // Why, is told to the receiver.
    if (!status.ok() && call == call_) call_failed_ = true;
  }
}

}  // namespace ese
