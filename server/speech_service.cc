// SPDX-License-Identifier: Apache-2.0
#include "server/speech_service.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/retry_after.h"

namespace ese {
namespace {

// Streams last from seconds to hours, so on a full server one usually ends within about this time.
constexpr std::chrono::seconds kRetryAfter{1};

}  // namespace

SpeechService::SpeechService(const StreamEnvironment& environment, int max_streams)
    : environment_(environment), max_streams_(max_streams) {}

std::shared_ptr<CallHandler> SpeechService::HandleStreamingInfer(RpcCall* rpc) {
  auto caller = environment_.access->AdmitStream(CallHeaders::Of(rpc->method(), rpc->context()));
  if (!caller.ok()) return Refuse(rpc, caller.status());
  auto call = std::make_shared<StreamCall>(rpc, &environment_, *std::move(caller),
                                           [this](StreamCall* done) { Remove(done); });
  const absl::Status status = Admit(call);
  if (status.ok()) return call;
  return Refuse(rpc, status);
}

std::shared_ptr<CallHandler> SpeechService::Refuse(RpcCall* rpc, const absl::Status& status) {
  environment_.metrics->StreamEnded(static_cast<grpc::StatusCode>(status.code()));
  return std::make_shared<RefusedCall>(rpc, status);
}

grpc::Status SpeechService::ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                                       v1::ListModelsResponse* response) {
  for (const auto& served : environment_.catalog->Current()) {
    *response->add_models() = Describe(*served->model);
  }
  for (const auto& served : environment_.catalog->Retired()) {
    *response->add_retired() = Describe(*served->model);
  }
  return grpc::Status::OK;
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
  for (const auto& [raw, call] : calls_) open.push_back(call);
  return open;
}

absl::Status SpeechService::Admit(std::shared_ptr<StreamCall> call) {
  const MutexLock lock(mutex_);
  if (refusing_) {
    return absl::UnavailableError("this server is shutting down; use another replica");
  }
  const int64_t limit = int64_t{max_streams_} * std::max(1, environment_.catalog->size());
  if (static_cast<int64_t>(calls_.size()) >= limit) {
    absl::Status status = absl::UnavailableError(
        absl::StrCat("all ", limit,
                     " streams of this server are in use (--max-streams); try again later, or "
                     "use another replica"));
    SetRetryAfter(kRetryAfter, &status);
    return status;
  }
  StreamCall* const raw = call.get();
  calls_.emplace(raw, std::move(call));
  return absl::OkStatus();
}

void SpeechService::Remove(StreamCall* call) {
  std::shared_ptr<StreamCall> removed;  // destroyed after the lock is released
  const MutexLock lock(mutex_);
  const auto found = calls_.find(call);
  removed = std::move(found->second);
  calls_.erase(found);
  if (calls_.empty()) idle_.NotifyAll();
}

}  // namespace ese
