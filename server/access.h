// SPDX-License-Identifier: Apache-2.0
// Access control: which connections and callers the server accepts. docs/security.md describes it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/watched_files.h"
#include "grpcpp/security/server_credentials.h"
#include "metrics/registry.h"
#include "server/server_credentials.h"
#include "server/tenant_quotas.h"
#include "server/tls.h"
#include "server/tokens.h"

namespace ese {

struct AccessControlOptions {
  TlsOptions tls = {};
  bool insecure = false;    // other machines may connect without TLS
  std::string tokens = {};  // the file of TokenTable; empty: callers are not identified
  // How often to look for changes of the files above. They are read once they have kept still for
  // this long.
  Duration poll = std::chrono::seconds(2);
};

// Who a stream belongs to.
struct Caller {
  // The tenant that the caller has proved to be. Nothing: the server does not identify callers, and
  // believes the tenant that they name.
  std::optional<std::string> tenant;
  TenantQuotas::Permit permit;  // held while the stream is open

  // Returns the tenant of the stream, whose config names `requested`. PERMISSION_DENIED: it names
  // another one than the caller's.
  absl::StatusOr<std::string> TenantFor(const std::string& requested) const;
  // PERMISSION_DENIED: a stream of `owner` is not the caller's to resume. An empty owner is
  // unknown.
  absl::Status CheckOwns(const std::string& owner) const;
};

// Thread-safe.
class AccessControl {
 public:
  // Reads the files and begins to follow their changes. A file that changes and cannot be used
  // gives one line in the log, and what was in force stays in force. Returns the errors of
  // CheckTlsOptions, TlsCertificates::Load and TokenTable::Parse. `metrics` must outlive this
  // object; it gets ese_callers_refused_total{reason} and, with TLS,
  // ese_tls_certificate_expiry_seconds.
  static absl::StatusOr<std::unique_ptr<AccessControl>> Load(const AccessControlOptions& options,
                                                             MetricsRegistry* metrics);

  // FAILED_PRECONDITION: other machines can reach this address of the server, but it has no TLS and
  // `insecure` is not set.
  absl::Status CheckAddress(absl::string_view address) const;
  // Returns credentials for one port. With tokens, they refuse all calls of callers that are not
  // known with UNAUTHENTICATED, except those of health checks. This object must outlive the gRPC
  // server.
  std::shared_ptr<grpc::ServerCredentials> NewCredentials();

  // Returns who opens a stream, and counts the stream. UNAUTHENTICATED: the caller is not known.
  // RESOURCE_EXHAUSTED: its tenant has all streams open that it may have.
  absl::StatusOr<Caller> AdmitStream(const CallHeaders& headers) ABSL_LOCKS_EXCLUDED(mutex_);

  // Reads all files again at once. Files that cannot be used change nothing, and the error tells
  // why; the others take effect. What this reads is not reported in the log once more as a change.
  absl::Status Reload();

 private:
  AccessControl(const AccessControlOptions& options, MetricsRegistry* metrics);
  absl::Status LoadTls(MetricsRegistry* metrics);
  absl::Status LoadTokens();
  absl::Status ReadTokens() ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns the tenant of the caller, or counts the refusal. UNAUTHENTICATED: the caller has no
  // token or certificate that the table knows.
  absl::StatusOr<std::string> Identify(const TokenTable& tokens, const CallHeaders& headers) const;
  // Null if the server does not identify callers.
  std::shared_ptr<const TokenTable> tokens() const ABSL_LOCKS_EXCLUDED(mutex_);

  const AccessControlOptions options_;
  Counter* const without_token_;
  Counter* const unknown_token_;
  Counter* const over_quota_;
  std::unique_ptr<TlsCertificates> tls_;  // null: plaintext
  TenantQuotas quotas_;
  mutable Mutex mutex_;
  std::shared_ptr<const TokenTable> tokens_ ABSL_GUARDED_BY(mutex_);
  // Destroyed first, because their threads use the members above.
  std::vector<std::unique_ptr<WatchedFiles>> watched_;
};

}  // namespace ese
