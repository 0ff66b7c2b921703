// SPDX-License-Identifier: Apache-2.0
// Access control: which connections and callers the server accepts. docs/security.md describes it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/watched_files.h"
#include "grpcpp/security/server_credentials.h"
#include "server/tls.h"

namespace ese {

struct AccessOptions {
  TlsOptions tls = {};
  bool insecure = false;  // other machines may connect without TLS
  // How often to look for changes of the files above. They are read once they have kept still for
  // this long.
  Duration poll = std::chrono::seconds(2);
};

// Thread-safe.
class AccessControl {
 public:
  // Reads the files and begins to follow their changes. A file that changes and cannot be used
  // gives one line in the log, and what was in force stays in force. Returns the errors of
  // CheckTlsOptions and TlsCertificates::Load.
  static absl::StatusOr<std::unique_ptr<AccessControl>> Load(const AccessOptions& options);

  // FAILED_PRECONDITION: other machines can reach this address of the server, but it has no TLS and
  // `insecure` is not set.
  absl::Status CheckAddress(absl::string_view address) const;
  // Returns credentials for one port. This object must outlive the gRPC server.
  std::shared_ptr<grpc::ServerCredentials> NewCredentials();

  // Reads all files again at once. Files that cannot be used change nothing, and the error tells
  // why; the others take effect.
  absl::Status Reload();

 private:
  explicit AccessControl(const AccessOptions& options) : options_(options) {}
  absl::Status LoadTls();

  const AccessOptions options_;
  std::unique_ptr<TlsCertificates> tls_;  // null: plaintext
  // Destroyed first, because their threads use the members above.
  std::vector<std::unique_ptr<WatchedFiles>> watched_;
};

}  // namespace ese
