// SPDX-License-Identifier: Apache-2.0
#include "server/tls.h"

#include <utility>

#include "base/regular_file.h"
#include "base/status.h"
#include "base/watched_files.h"
#include "server/certificate_check.h"

namespace ese {

// What gRPC's C library asks for the certificates at each handshake. gRPC uses it for as long as
// the server runs.
class TlsCertificates::Port {
 public:
  explicit Port(TlsCertificates* certificates) : certificates_(*certificates) {}

  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<Port*>(self)->Fetch(config);
  }

 private:
  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    const MutexLock lock(certificates_.mutex_);
    // A new configuration costs the parsing of all certificates.
    if (std::exchange(fetched_, certificates_.version_) == certificates_.version_) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    *config = certificates_.NewConfig();
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  TlsCertificates& certificates_;
  int64_t fetched_ = 0;  // the version that gRPC has; guarded by certificates_.mutex_
};

grpc_ssl_server_certificate_config* TlsCertificates::NewConfig() const {
  const grpc_ssl_pem_key_cert_pair pair = {.private_key = material_.key.c_str(),
                                           .cert_chain = material_.certificate.c_str()};
  // gRPC insists on authorities for clients even if it does not ask clients for certificates.
  const std::string& client_ca =
      material_.client_ca.empty() ? material_.certificate : material_.client_ca;
  return grpc_ssl_server_certificate_config_create(client_ca.c_str(), &pair, 1);
}

std::vector<std::string> TlsOptions::Files() const {
  std::vector<std::string> files;
  for (const std::string& file : {certificate, key, client_ca}) {
    if (!file.empty()) files.push_back(file);
  }
  return files;
}

absl::Status CheckTlsOptions(const TlsOptions& options) {
  if (options.certificate.empty() != options.key.empty()) {
    return absl::InvalidArgumentError(
        "--tls-certificate and --tls-key belong together; give both or neither");
  }
  if (!options.client_ca.empty() && !options.enabled()) {
    return absl::InvalidArgumentError(
        "--tls-client-ca needs TLS; also give --tls-certificate and --tls-key");
  }
  if (options.client_optional && options.client_ca.empty()) {
    return absl::InvalidArgumentError(
        "--tls-client-optional needs authorities that vouch for clients; also give "
        "--tls-client-ca");
  }
  return absl::OkStatus();
}

TlsCertificates::TlsCertificates(TlsOptions options, Gauge* expiry)
    : options_(std::move(options)), expiry_(expiry) {}

TlsCertificates::~TlsCertificates() = default;

absl::StatusOr<std::unique_ptr<TlsCertificates>> TlsCertificates::Load(const TlsOptions& options,
                                                                       Gauge* expiry) {
  std::unique_ptr<TlsCertificates> certificates(new TlsCertificates(options, expiry));
  ESE_RETURN_IF_ERROR(certificates->Reload());
  return certificates;
}

absl::StatusOr<TlsCertificates::Material> TlsCertificates::Read(const TlsOptions& options) {
  Material material;
  ESE_ASSIGN_OR_RETURN(material.certificate,
                       ReadRegularFile(options.certificate, kMaxSmallFileBytes));
  ESE_ASSIGN_OR_RETURN(material.key, ReadRegularFile(options.key, kMaxSmallFileBytes));
  ESE_ASSIGN_OR_RETURN(material.expiry,
                       CheckCertificatePair({options.certificate, material.certificate},
                                            {options.key, material.key}));
  if (options.client_ca.empty()) return material;
  ESE_ASSIGN_OR_RETURN(material.client_ca, ReadRegularFile(options.client_ca, kMaxSmallFileBytes));
  ESE_RETURN_IF_ERROR(CheckAuthorities({options.client_ca, material.client_ca}));
  return material;
}

absl::Status TlsCertificates::Reload() {
  ESE_ASSIGN_OR_RETURN(Material material, Read(options_));
  const MutexLock lock(mutex_);
  material_ = std::move(material);
  ++version_;
  expiry_->Set(static_cast<double>(material_.expiry));
  return absl::OkStatus();
}

grpc_server_credentials* TlsCertificates::NewCredentials() {
  const auto request = options_.client_ca.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                       : options_.client_optional
                           ? GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY
                           : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  const MutexLock lock(mutex_);
  ports_.push_back(std::make_unique<Port>(this));
  return grpc_ssl_server_credentials_create_with_options(
      grpc_ssl_server_credentials_create_options_using_config_fetcher(request, &Port::Fetch,
                                                                      ports_.back().get()));
}

}  // namespace ese
