// SPDX-License-Identifier: Apache-2.0
#include "server/access.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/loopback.h"
#include "base/regular_file.h"
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

// The calls that everyone may make, so that load balancers need no token.
constexpr char kHealth[] = "/grpc.health.v1.Health/";

Counter* RefusedCallers(MetricsRegistry* metrics, const std::string& reason) {
  return metrics->GetCounter("ese_callers_refused_total",
                             "Calls that access control has refused, by the reason.",
                             {{"reason", reason}});
}

}  // namespace

absl::StatusOr<std::string> Caller::TenantFor(const std::string& requested) const {
  if (!tenant) return requested;
  if (requested.empty() || requested == *tenant) return *tenant;
  return absl::PermissionDeniedError(absl::StrCat("the config names the tenant \"", requested,
                                                  "\", but the caller is \"", *tenant,
                                                  "\"; leave the tenant empty"));
}

absl::Status Caller::CheckOwns(const std::string& owner) const {
  if (!tenant || owner.empty() || owner == *tenant) return absl::OkStatus();
  return absl::PermissionDeniedError(
      "resume_token belongs to another tenant; resume as the tenant that opened the stream");
}

AccessControl::AccessControl(const AccessControlOptions& options, MetricsRegistry* metrics)
    : options_(options),
      without_token_(RefusedCallers(metrics, "no_token")),
      unknown_token_(RefusedCallers(metrics, "unknown_token")),
      over_quota_(RefusedCallers(metrics, "quota")) {}

absl::StatusOr<std::unique_ptr<AccessControl>> AccessControl::Load(
    const AccessControlOptions& options, MetricsRegistry* metrics) {
  std::unique_ptr<AccessControl> access(new AccessControl(options, metrics));
  ESE_RETURN_IF_ERROR(access->LoadTls(metrics));
  ESE_RETURN_IF_ERROR(access->LoadTokens());
  return access;
}

absl::Status AccessControl::LoadTls(MetricsRegistry* metrics) {
  ESE_RETURN_IF_ERROR(CheckTlsOptions(options_.tls));
  if (!options_.tls.enabled()) return absl::OkStatus();
  auto files = std::make_unique<WatchedFiles>(options_.tls.Files(), options_.poll);
  Gauge* const expiry = metrics->GetGauge(
      "ese_tls_certificate_expiry_seconds",
      "When the server's certificate, or one of its chain, expires, in seconds since 1970.");
  ESE_ASSIGN_OR_RETURN(tls_, TlsCertificates::Load(options_.tls, expiry));
  files->Start([this] { LogReload("TLS certificate", tls_->Reload()); });
  watched_.push_back(std::move(files));
  return absl::OkStatus();
}

absl::Status AccessControl::LoadTokens() {
  if (options_.tokens.empty()) return absl::OkStatus();
  auto files = std::make_unique<WatchedFiles>(std::vector{options_.tokens}, options_.poll);
  ESE_RETURN_IF_ERROR(ReadTokens());
  files->Start([this] { LogReload("file of tokens", ReadTokens()); });
  watched_.push_back(std::move(files));
  return absl::OkStatus();
}

absl::Status AccessControl::ReadTokens() {
  ESE_ASSIGN_OR_RETURN(const std::string content,
                       ReadRegularFile(options_.tokens, kMaxSmallFileBytes));
  ESE_ASSIGN_OR_RETURN(TokenTable table, TokenTable::Parse(options_.tokens, content));
  const MutexLock lock(mutex_);
  tokens_ = std::make_shared<const TokenTable>(std::move(table));
  return absl::OkStatus();
}

std::shared_ptr<const TokenTable> AccessControl::tokens() const {
  const MutexLock lock(mutex_);
  return tokens_;
}

absl::Status AccessControl::CheckAddress(absl::string_view address) const {
  if (tls_ != nullptr || options_.insecure || IsLocalAddress(address)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("other machines can reach ", address,
                   ", but there is no TLS; give --tls-certificate and --tls-key, or --insecure if "
                   "a proxy or the "
                   "network protects the server"));
}

absl::StatusOr<std::string> AccessControl::Identify(const TokenTable& tokens,
                                                    const CallHeaders& headers) const {
  constexpr char kRemedy[] =
      "; send the metadata \"authorization: Bearer TOKEN\" with a token that "
      "its operator has given you";
  if (headers.authorization.empty()) {
    if (tokens.HasCertificateTenant(headers.certificate_name)) return headers.certificate_name;
    without_token_->Increment();
    return absl::UnauthenticatedError(
        absl::StrCat("this server serves only known callers", kRemedy));
  }
  absl::string_view token = headers.authorization.front();
  constexpr absl::string_view kScheme = "Bearer ";
  if (headers.authorization.size() == 1 && absl::StartsWithIgnoreCase(token, kScheme)) {
    const auto tenant = tokens.TenantOfToken(token.substr(kScheme.size()));
    if (tenant) return *tenant;
  }
  unknown_token_->Increment();
  return absl::UnauthenticatedError(
      absl::StrCat("the metadata authorization has no token that this server knows", kRemedy));
}

std::shared_ptr<grpc::ServerCredentials> AccessControl::NewCredentials() {
  grpc_server_credentials* const credentials =
      tls_ != nullptr ? tls_->NewCredentials() : grpc_insecure_server_credentials_create();
  if (tokens() != nullptr) {
    CheckCalls(credentials, [this](const CallHeaders& headers) {
      if (absl::StartsWith(headers.method, kHealth)) return absl::OkStatus();
      return Identify(*tokens(), headers).status();
    });
  }
  return std::make_shared<CoreServerCredentials>(credentials);
}

absl::StatusOr<Caller> AccessControl::AdmitStream(const CallHeaders& headers) {
  const auto table = tokens();
  if (table == nullptr) return Caller{};
  ESE_ASSIGN_OR_RETURN(const std::string tenant, Identify(*table, headers));
  auto permit = quotas_.Admit(tenant, table->MaxStreams(tenant));
  if (!permit.ok()) {
    over_quota_->Increment();
    return permit.status();
  }
  return Caller{.tenant = tenant, .permit = *std::move(permit)};
}

absl::Status AccessControl::Reload() {
  for (const auto& files : watched_) files->MarkReported();
  const absl::Status tls = tls_ != nullptr ? tls_->Reload() : absl::OkStatus();
  const absl::Status tokens = options_.tokens.empty() ? absl::OkStatus() : ReadTokens();
  if (tls.ok() || tokens.ok()) return tls.ok() ? tokens : tls;
  return absl::InvalidArgumentError(absl::StrCat(tls.message(), "; ", tokens.message()));
}

}  // namespace ese
