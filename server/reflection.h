// SPDX-License-Identifier: Apache-2.0
// The service grpc.reflection.v1alpha.ServerReflection, with which clients such as grpcurl learn
// what services and types the server has. gRPC's own is not used, because it needs a thread for
// each open call.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "server/rpc_call.h"

namespace ese {

// Returns the answer to a request about this program's types. `services` are the full names of the
// services that the server has.
grpc::reflection::v1alpha::ServerReflectionResponse Reflect(
    const grpc::reflection::v1alpha::ServerReflectionRequest& request,
    const std::vector<std::string>& services);

// Thread-safe. Must outlive its calls.
class Reflection {
 public:
  static constexpr char kMethod[] =
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  // More calls at once are refused with RESOURCE_EXHAUSTED.
  static constexpr int kMaxCalls = 64;

  // The server has these services, and this one.
  explicit Reflection(std::vector<std::string> services);

  // Returns the handler for a call of kMethod.
  std::shared_ptr<CallHandler> Handle(RpcCall* call);

 private:
  class Call;

  std::vector<std::string> services_;
  std::atomic<int> calls_ = 0;
};

}  // namespace ese
