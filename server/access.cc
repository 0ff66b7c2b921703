// SPDX-License-Identifier: Apache-2.0
#include "server/access.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/loopback.h"
#include "base/status.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

void LogReload(const std::string& what, const absl::Status& status) {
  if (status.ok()) {
    spdlog::info("the {} changed and is in force", what);
  } else {
    spdlog::error("the {} changed but cannot be used, so the one before stays in force: {}", what,
                  std::string(status.message()));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<AccessControl>> AccessControl::Load(const AccessOptions& options) {
  std::unique_ptr<AccessControl> access(new AccessControl(options));
  ESE_RETURN_IF_ERROR(access->LoadTls());
  return access;
}

absl::Status AccessControl::LoadTls() {
  ESE_RETURN_IF_ERROR(CheckTlsOptions(options_.tls));
  if (!options_.tls.enabled()) return absl::OkStatus();
  auto files = std::make_unique<WatchedFiles>(options_.tls.Files(), options_.poll);
  ESE_ASSIGN_OR_RETURN(tls_, TlsCertificates::Load(options_.tls));
  files->Start([this] { LogReload("TLS certificate", tls_->Reload()); });
  watched_.push_back(std::move(files));
  return absl::OkStatus();
}

absl::Status AccessControl::CheckAddress(absl::string_view address) const {
  if (tls_ != nullptr || options_.insecure || IsLocalAddress(address)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("other machines can reach ", address,
                   ", but there is no TLS; give --tls-certificate and --tls-key, or --insecure if "
                   "a proxy or the "
                   "network protects the server"));
}

std::shared_ptr<grpc::ServerCredentials> AccessControl::NewCredentials() {
  return tls_ != nullptr ? tls_->NewCredentials() : grpc::InsecureServerCredentials();
}

absl::Status AccessControl::Reload() { return tls_ != nullptr ? tls_->Reload() : absl::OkStatus(); }

}  // namespace ese
