// SPDX-License-Identifier: Apache-2.0
// Server credentials of gRPC's C library. They can do what those of the C++ library cannot: take
// their certificates from a callback, and check the calls of plaintext connections too.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "grpc/grpc_security.h"
#include "grpcpp/grpcpp.h"

namespace ese {

// What a call says about its caller.
struct CallHeaders {
  std::string method;                      // "/package.Service/Method"
  std::vector<std::string> authorization;  // the values of this metadata
  // The common name in the client's certificate, which gRPC has verified; empty if there is none.
  std::string certificate_name;

  static CallHeaders Of(const std::string& method, const grpc::ServerContextBase& context);
};

// Refuses every call for which `check` returns an error, whichever service it is for. `check` is
// called on gRPC's threads, several at a time, until the gRPC server has been destroyed.
void CheckCalls(grpc_server_credentials* credentials,
                std::function<absl::Status(const CallHeaders&)> check);

class CoreServerCredentials final : public grpc::ServerCredentials {
 public:
  // Takes ownership.
  explicit CoreServerCredentials(grpc_server_credentials* credentials)
      : credentials_(credentials) {}
  ~CoreServerCredentials() override;

  // Must not be called; use CheckCalls.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override;

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override;

  grpc_server_credentials* const credentials_;
};

}  // namespace ese
