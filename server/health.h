// SPDX-License-Identifier: Apache-2.0
// grpc.health.v1.Health: says whether the server takes streams. gRPC's built-in service is not used
// because it starts the threads of the callback API, which poll for messages of all calls
// (docs/operations.md).
#pragma once

#include <memory>
#include <set>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/rpc_call.h"

namespace ese {

class HealthWatch;

// Thread-safe. Knows two services, "" (the whole server) and ese.v1.SpeechInference, which always
// have the same status.
class Health final
    : public grpc::health::v1::Health::WithGenericMethod_Watch<grpc::health::v1::Health::Service> {
 public:
  static constexpr char kWatchMethod[] = "/grpc.health.v1.Health/Watch";

  void SetServing(bool serving);

  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest* request,
                     grpc::health::v1::HealthCheckResponse* response) override;

  // Returns the handler of a call of kWatchMethod.
  std::shared_ptr<CallHandler> HandleWatch(RpcCall* call);
  // Ends all watches, present and future.
  void Shutdown();

 private:
  friend class HealthWatch;
  grpc::health::v1::HealthCheckResponse::ServingStatus StatusOf(const std::string& service) const;
  bool shut_down() const;
  void Remove(const std::shared_ptr<HealthWatch>& watch);
  void TellAll();

  mutable Mutex mutex_;
  bool serving_ ABSL_GUARDED_BY(mutex_) = false;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<std::shared_ptr<HealthWatch>> watches_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
