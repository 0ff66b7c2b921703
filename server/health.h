// SPDX-License-Identifier: Apache-2.0
// The service grpc.health.v1.Health, which tells whether the server accepts streams. gRPC's
// built-in service is not used, because it starts the threads of the callback API, which poll for
// the messages of all calls (docs/operations.md).
#pragma once

#include <memory>
#include <set>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "server/rpc_call.h"

namespace ese {

class HealthWatch;

// Thread-safe. There are two services, "" (the whole server) and ese.v1.SpeechInference. Their
// status is always the same.
class Health final
    : public grpc::health::v1::Health::WithGenericMethod_Watch<grpc::health::v1::Health::Service> {
 public:
  static constexpr char kWatchMethod[] = "/grpc.health.v1.Health/Watch";

  void SetServing(bool serving);

  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest* request,
                     grpc::health::v1::HealthCheckResponse* response) override;

  // Returns the handler for a call of kWatchMethod.
  std::shared_ptr<CallHandler> HandleWatch(RpcCall* call);
  // Ends all present and future watches.
  void Shutdown();

 private:
  friend class HealthWatch;
  grpc::health::v1::HealthCheckResponse::ServingStatus StatusOf(const std::string& service) const;
  bool shut_down() const;
  void Remove(const std::shared_ptr<HealthWatch>& watch);
  void NotifyWatches();

  mutable Mutex mutex_;
  bool serving_ ABSL_GUARDED_BY(mutex_) = false;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<std::shared_ptr<HealthWatch>> watches_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
