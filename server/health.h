// SPDX-License-Identifier: Apache-2.0
// The service grpc.health.v1.Health, which tells whether the server accepts streams. gRPC's
// built-in service is not used, because it starts the threads of the callback API, which poll for
// the messages of all calls (docs/operations.md).
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/mutex.h"
#include "grpc/health/v1/health.pb.h"
#include "server/rpc_call.h"

namespace ese {

class HealthWatch;

// Thread-safe. There are two services, "" (the whole server) and ese.v1.SpeechInference. Their
// status is always the same.
class Health {
 public:
  static constexpr char kCheckMethod[] = "/grpc.health.v1.Health/Check";
  static constexpr char kWatchMethod[] = "/grpc.health.v1.Health/Watch";

  // More watches at once are refused with RESOURCE_EXHAUSTED.
  static constexpr size_t kMaxWatches = 1024;

  void SetServing(bool serving);

  // Returns the handler for a call of kCheckMethod.
  std::shared_ptr<CallHandler> HandleCheck(RpcCall* call);
  // Returns the handler for a call of kWatchMethod.
  std::shared_ptr<CallHandler> HandleWatch(RpcCall* call);
  // Ends all present and future watches.
  void Shutdown();

 private:
  friend class HealthWatch;
  absl::Status Check(const grpc::health::v1::HealthCheckRequest& request,
                     grpc::health::v1::HealthCheckResponse* response) const;
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
