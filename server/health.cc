// SPDX-License-Identifier: Apache-2.0
#include "server/health.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ese/v1/speech.grpc.pb.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "server/request_limits.h"

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
  void OnStart() override { call_->Read(&message_); }
  void OnReadDone(bool ok) override {
    HealthCheckRequest request;
    if (!ok ||
        !grpc::SerializationTraits<HealthCheckRequest>::Deserialize(&message_, &request).ok()) {
      return Finish(
          absl::InvalidArgumentError("the message is not a grpc.health.v1.HealthCheckRequest"));
    }
    if (const absl::Status status = CheckFieldLengths(request); !status.ok()) {
      return Finish(status);
    }
    service_ = request.service();
    Advance();
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
    bool own_buffer = false;
    grpc::ByteBuffer message;
    if (!grpc::SerializationTraits<HealthCheckResponse>::Serialize(response, &message, &own_buffer)
             .ok()) {
      return Finish(absl::InternalError("a health status cannot be serialized"));
    }
    message_ = message;
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

grpc::Status Health::Check(grpc::ServerContext*, const HealthCheckRequest* request,
                           HealthCheckResponse* response) {
  if (const absl::Status lengths = CheckFieldLengths(*request); !lengths.ok()) {
    return ToGrpcStatus(lengths);
  }
  const auto status = StatusOf(request->service());
  if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
    return {grpc::StatusCode::NOT_FOUND, absl::StrCat("there is no service \"", request->service(),
                                                      "\"; this server has \"\" and ",
                                                      v1::SpeechInference::service_full_name())};
  }
  response->set_status(status);
  return grpc::Status::OK;
}

std::shared_ptr<CallHandler> Health::HandleWatch(RpcCall* call) {
  auto watch = std::make_shared<HealthWatch>(call, this);
  const MutexLock lock(mutex_);
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
