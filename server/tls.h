// SPDX-License-Identifier: Apache-2.0
// The server's certificate, which can be replaced while the server runs.
//
// gRPC's file watcher is not used, because it puts a certificate into service without checking that
// it is complete, valid now and fits its key. Here a pair that fails a check never replaces one
// that works.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "grpc/grpc_security.h"
#include "metrics/registry.h"

namespace ese {

struct TlsOptions {
  std::string certificate = {};  // a PEM file: the server's certificate, then intermediate ones
  std::string key = {};          // a PEM file with its private key
  // A PEM file with the authorities that vouch for clients. Empty: clients are not asked.
  std::string client_ca = {};
  // Also serve clients that show no certificate. One that a client shows is always verified.
  bool client_optional = false;

  bool enabled() const { return !certificate.empty(); }
  std::vector<std::string> Files() const;
};

// INVALID_ARGUMENT: an option that another one needs is missing.
absl::Status CheckTlsOptions(const TlsOptions& options);

// Thread-safe.
class TlsCertificates {
 public:
  // Reads and checks the files. NOT_FOUND: one cannot be read. INVALID_ARGUMENT: one is not PEM or
  // is incomplete, a certificate has expired or is not valid yet, the key is encrypted, too weak or
  // does not belong to the certificate.
  // `expiry` shows when the certificate in service expires; it must outlive this object.
  static absl::StatusOr<std::unique_ptr<TlsCertificates>> Load(const TlsOptions& options,
                                                               Gauge* expiry);

  ~TlsCertificates();

  // Reads the files again. New connections get the new certificate; open ones are not disturbed.
  // After an error everything stays as it was. The errors are those of Load.
  absl::Status Reload() ABSL_LOCKS_EXCLUDED(mutex_);

  // Returns credentials for one port, which accept TLS 1.2 and 1.3. They use this object, so it
  // must outlive the gRPC server.
  grpc_server_credentials* NewCredentials() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Material {
    std::string certificate;
    std::string key;
    std::string client_ca;
    int64_t expiry = 0;  // in seconds since 1970
  };
  class Port;

  // gRPC takes ownership of what this returns.
  grpc_ssl_server_certificate_config* NewConfig() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  TlsCertificates(TlsOptions options, Gauge* expiry);
  static absl::StatusOr<Material> Read(const TlsOptions& options);

  const TlsOptions options_;
  Gauge* const expiry_;
  Mutex mutex_;
  Material material_ ABSL_GUARDED_BY(mutex_);
  int64_t version_ ABSL_GUARDED_BY(mutex_) = 0;  // counts the material that was put into service
  std::vector<std::unique_ptr<Port>> ports_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
