// SPDX-License-Identifier: Apache-2.0
#include "server/health.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "ese/v1/speech.grpc.pb.h"
#include "server/message_bytes.h"
#include "server/unary_call.h"

namespace ese {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

class HealthWatch final : public CallHandler, public std::enable_shared_from_this<HealthWatch> {
 public:
  HealthWatch(RpcCall* call, Health* health) : loop_(call->loop()), call_(call), health_(health) {}

  // Thread-safe.
  void Notify() {
    loop_->Post([self = shared_from_this()] { self->Advance(); });
  }

 private:
  void OnStart() override {
    call_->SetTimer(Clock::Real()->Now() + UnaryCall::kPatience);
    call_->Read(&message_);
  }
  void OnReadDone(bool ok) override {
    if (finished_) return;
    if (!ok) return Finish(absl::InvalidArgumentError("the call ended before its request came"));
    HealthCheckRequest request;
    if (const absl::Status status = ParseRequest(&message_, &request); !status.ok()) {
      return Finish(status);
    }
    call_->NoteUseful();
    service_ = request.service();
    Advance();
  }
  void OnTimer() override {
    if (finished_ || service_) return;
    Finish(absl::DeadlineExceededError("no request came; send it as soon as the call starts"));
  }
  void OnWriteDone(bool /*ok*/) override {
    writing_ = false;
    Advance();
  }
  void OnCancel() override {
    cancelled_ = true;
    Advance();
  }
  void OnDone() override { health_->Remove(shared_from_this()); }

  void Advance() {
    if (finished_ || writing_) return;
    if (cancelled_) return Finish(absl::CancelledError("the watch was cancelled"));
    if (health_->shut_down()) return Finish(absl::UnavailableError("this server is shutting down"));
    if (!service_) return;
    const auto status = health_->StatusOf(*service_);
    if (reported_ == status) return;
    reported_ = status;
    HealthCheckResponse response;
    response.set_status(status);
    auto message = SerializeResponse(response);
    if (!message.ok()) return Finish(message.status());
    message_ = *std::move(message);
    writing_ = true;
    call_->Write(message_);
  }
  void Finish(const absl::Status& status) {
    if (std::exchange(finished_, true)) return;
    call_->Finish(status);
  }

  CallLoop* const loop_;
  RpcCall* const call_;
  Health* const health_;
  grpc::ByteBuffer message_;
  std::optional<std::string> service_;
  std::optional<HealthCheckResponse::ServingStatus> reported_;
  bool writing_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
};

void Health::SetServing(bool serving) {
  {
    const MutexLock lock(mutex_);
    if (std::exchange(serving_, serving) == serving) return;
  }
  NotifyWatches();
}

absl::Status Health::Check(const HealthCheckRequest& request, HealthCheckResponse* response) const {
  const auto status = StatusOf(request.service());
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    return absl::NotFoundError(absl::StrCat("there is no service \"", request.service(),
                                            "\"; this server has \"\" and ",
                                            v1::SpeechInference::service_full_name()));
  }
  response->set_status(status);
  return absl::OkStatus();
}

std::shared_ptr<CallHandler> Health::HandleCheck(RpcCall* call) {
  return MakeUnaryCall<HealthCheckRequest, HealthCheckResponse>(
      call, [this](const HealthCheckRequest& request, HealthCheckResponse* response) {
        return Check(request, response);
      });
}

std::shared_ptr<CallHandler> Health::HandleWatch(RpcCall* call) {
  auto watch = std::make_shared<HealthWatch>(call, this);
  const MutexLock lock(mutex_);
  if (watches_.size() >= kMaxWatches) {
    return std::make_shared<RefusedCall>(
        call, absl::ResourceExhaustedError(absl::StrCat(
                  "this server has ", kMaxWatches,
                  " watches of its health already; end those that are not used, or call Check")));
  }
  watches_.insert(watch);
  return watch;
}

void Health::Shutdown() {
  {
    const MutexLock lock(mutex_);
    shut_down_ = true;
  }
  NotifyWatches();
}

HealthCheckResponse::ServingStatus Health::StatusOf(const std::string& service) const {
  if (!service.empty() && service != v1::SpeechInference::service_full_name()) {
    return HealthCheckResponse::SERVICE_UNKNOWN;
  }
  const MutexLock lock(mutex_);
  return serving_ ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

bool Health::shut_down() const {
  const MutexLock lock(mutex_);
  return shut_down_;
}

void Health::Remove(const std::shared_ptr<HealthWatch>& watch) {
  const MutexLock lock(mutex_);
  watches_.erase(watch);
}

void Health::NotifyWatches() {
  const MutexLock lock(mutex_);
  for (const auto& watch : watches_) watch->Notify();
}

}  // namespace ese
