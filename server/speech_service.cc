// SPDX-License-Identifier: Apache-2.0
#include "server/speech_service.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/retry_after.h"
#include "ese/v1/speech.pb.h"
#include "server/unary_call.h"

namespace ese {
namespace {

// Streams last from seconds to hours, so on a full server one usually ends within about this time.
constexpr std::chrono::seconds kRetryAfter{1};

}  // namespace

SpeechService::SpeechService(const StreamEnvironment& environment, int max_streams,
                             int max_waiting_calls)
    : environment_(environment), max_streams_(max_streams), max_waiting_calls_(max_waiting_calls) {}

std::shared_ptr<CallHandler> SpeechService::HandleStreamingInfer(RpcCall* rpc) {
  auto caller = environment_.access->AdmitStream(CallHeaders::Of(rpc->method(), rpc->context()));
  if (!caller.ok()) return Refuse(rpc, caller.status());
  auto call = std::make_shared<StreamCall>(rpc, &environment_, *std::move(caller),
                                           static_cast<StreamCallOwner*>(this));
  const absl::Status status = Admit(call);
  if (status.ok()) return call;
  return Refuse(rpc, status);
}

std::shared_ptr<CallHandler> SpeechService::Refuse(RpcCall* rpc, const absl::Status& status) {
  environment_.metrics->StreamEnded(static_cast<grpc::StatusCode>(status.code()));
  return std::make_shared<RefusedCall>(rpc, status);
}

std::shared_ptr<CallHandler> SpeechService::HandleListModels(RpcCall* rpc) {
  return MakeUnaryCall<v1::ListModelsRequest, v1::ListModelsResponse>(
      rpc, [this](const v1::ListModelsRequest&, v1::ListModelsResponse* response) {
        for (const auto& served : environment_.catalog->Current()) {
          *response->add_models() = Describe(*served->model);
        }
        for (const auto& served : environment_.catalog->Retired()) {
          *response->add_retired() = Describe(*served->model);
        }
        return absl::OkStatus();
      });
}

void SpeechService::RefuseNewStreams() {
  const MutexLock lock(mutex_);
  refusing_ = true;
}

bool SpeechService::WaitUntilIdle(Duration limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  const MutexLock lock(mutex_);
  while (!calls_.empty() && idle_.WaitUntil(mutex_, end)) {
  }
  return calls_.empty();
}

void SpeechService::HandOverAll(const absl::Status& status, HandOverScope scope) {
  for (const auto& call : OpenCalls()) call->HandOver(status, scope);
}

void SpeechService::AbortAll(const absl::Status& status) {
  for (const auto& call : OpenCalls()) call->Abort(status);
}

std::vector<std::shared_ptr<StreamCall>> SpeechService::OpenCalls() {
  const MutexLock lock(mutex_);
  std::vector<std::shared_ptr<StreamCall>> open;
  open.reserve(calls_.size());
  for (const auto& [raw, open_call] : calls_) open.push_back(open_call.call);
  return open;
}

absl::Status SpeechService::Admit(std::shared_ptr<StreamCall> call) {
  std::shared_ptr<StreamCall> evicted;
  {
    const MutexLock lock(mutex_);
    if (refusing_) {
      return absl::UnavailableError("this server is shutting down; use another replica");
    }
    if (waiting_.size() >= static_cast<size_t>(max_waiting_calls_)) {
      OpenCall& oldest = calls_.at(waiting_.front());
      StopWaiting(oldest);
      evicted = oldest.call;
    }
    StreamCall* const raw = call.get();
    waiting_.push_back(raw);
    calls_.emplace(raw, OpenCall{std::move(call), std::prev(waiting_.end())});
  }
  if (evicted) evicted->Abort(Evicted());
  return absl::OkStatus();
}

absl::Status SpeechService::Evicted() const {
  absl::Status status = absl::ResourceExhaustedError(
      absl::StrCat("the call had not sent its config when more than ", max_waiting_calls_,
                   " calls waited for theirs (--max-waiting-calls); send the config as soon as the "
                   "call starts"));
  SetRetryAfter(kRetryAfter, &status);
  return status;
}

absl::Status SpeechService::TakePlace(StreamCall* call) {
  const MutexLock lock(mutex_);
  OpenCall& open = calls_.at(call);
  if (!open.waiting) return Evicted();  // the config came just too late
  StopWaiting(open);
  const int64_t limit = int64_t{max_streams_} * std::max(1, environment_.catalog->size());
  if (places_taken_ >= limit) {
    absl::Status status = absl::UnavailableError(
        absl::StrCat("all ", limit,
                     " streams of this server are in use (--max-streams); try again later, or "
                     "use another replica"));
    SetRetryAfter(kRetryAfter, &status);
    return status;
  }
  open.has_place = true;
  ++places_taken_;
  return absl::OkStatus();
}

void SpeechService::StopWaiting(OpenCall& call) {
  waiting_.erase(*call.waiting);
  call.waiting.reset();
}

void SpeechService::Remove(StreamCall* call) {
  std::shared_ptr<StreamCall> removed;  // destroyed after the lock is released
  const MutexLock lock(mutex_);
  const auto found = calls_.find(call);
  OpenCall& open = found->second;
  if (open.waiting) StopWaiting(open);
  if (open.has_place) --places_taken_;
  removed = std::move(open.call);
  calls_.erase(found);
  if (calls_.empty()) idle_.NotifyAll();
}

}  // namespace ese
