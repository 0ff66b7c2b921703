// SPDX-License-Identifier: Apache-2.0
// grpc.health.v1.Health: whether the server takes streams. Our own, as gRPC's built-in service
// would bring threads of its callback API, which poll for everybody's messages
// (docs/operations.md).
#pragma once

#include <memory>
#include <mutex>
#include <set>

#include "grpc/health/v1/health.grpc.pb.h"
#include "server/rpc_call.h"

namespace ese {

class HealthWatch;

// Thread-safe. Knows the services "" (the whole server) and ese.v1.SpeechInference, which are one.
class Health final
    : public grpc::health::v1::Health::WithGenericMethod_Watch<grpc::health::v1::Health::Service> {
 public:
  static constexpr char kWatchMethod[] = "/grpc.health.v1.Health/Watch";

  void SetServing(bool serving);

  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::health::v1::HealthCheckRequest* request,
                     grpc::health::v1::HealthCheckResponse* response) override;

  // The handler of a call of kWatchMethod.
  std::shared_ptr<CallHandler> HandleWatch(RpcCall* call);
  // Ends all watches, and those that come.
  void Shutdown();

 private:
  friend class HealthWatch;
  grpc::health::v1::HealthCheckResponse::ServingStatus StatusOf(const std::string& service) const;
  bool shut_down() const;
  void Remove(const std::shared_ptr<HealthWatch>& watch);
  void TellAll();

  mutable std::mutex mutex_;
  bool serving_ = false;
  bool shut_down_ = false;
  std::set<std::shared_ptr<HealthWatch>> watches_;
};

}  // namespace ese
