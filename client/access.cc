// SPDX-License-Identifier: Apache-2.0
#include "client/access.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace ese {
namespace {

using CertificatePtr = std::unique_ptr<X509, decltype(&X509_free)>;
using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using BioPtr = std::unique_ptr<BIO, decltype(&BIO_free)>;

absl::StatusOr<std::string> ReadFile(const std::string& path, absl::string_view flag) {
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file.is_open() || file.bad()) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path, " (", std::strerror(errno),
                                            "); name a readable file with ", flag));
  }
  return text;
}

BioPtr Memory(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
}

// Without this, OpenSSL would ask for the passphrase of a key on the terminal.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<CertificatePtr> ParseCertificate(const std::string& pem, const std::string& path,
                                                absl::string_view flag) {
  CertificatePtr certificate(PEM_read_bio_X509(Memory(pem).get(), nullptr, NoPassphrase, nullptr),
                             X509_free);
  ERR_clear_error();
  if (certificate) return certificate;
  return absl::InvalidArgumentError(
      absl::StrCat(path, " holds no certificate in PEM format; name one with ", flag));
}

absl::Status CheckIdentity(const AccessOptions& options, const AccessFiles& files) {
  ESE_ASSIGN_OR_RETURN(
      const CertificatePtr certificate,
      ParseCertificate(files.certificate, options.certificate_file, "--tls-certificate"));
  const KeyPtr key(PEM_read_bio_PrivateKey(Memory(files.key).get(), nullptr, NoPassphrase, nullptr),
                   EVP_PKEY_free);
  const bool match = key && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (!key) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.key_file,
                     " holds no private key in PEM format without a passphrase; "
                     "name one with --tls-key"));
  }
  if (!match) {
    return absl::InvalidArgumentError(
        absl::StrCat("the key ", options.key_file, " is not the key of the certificate ",
                     options.certificate_file, "; name its own key with --tls-key"));
  }
  if (X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("the certificate ", options.certificate_file, " has expired; renew it"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadToken(const AccessOptions& options) {
  std::string token = options.token;
  const std::string source =
      options.token_file.empty() ? "the token" : absl::StrCat("the token in ", options.token_file);
  if (!options.token_file.empty()) {
    ESE_ASSIGN_OR_RETURN(token, ReadFile(options.token_file, "--token-file"));
    absl::StripAsciiWhitespace(&token);
    if (token.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(options.token_file, " is empty; write the token into it"));
    }
  }
  if (!std::all_of(token.begin(), token.end(), absl::ascii_isgraph)) {
    return absl::InvalidArgumentError(
        absl::StrCat(source,
                     " has a space or a character that is not ASCII; give the token alone, "
                     "on one line"));
  }
  return token;
}

absl::Status CheckCombination(const AccessOptions& options) {
  if (!options.tls && !(options.ca_file.empty() && options.certificate_file.empty() &&
                        options.key_file.empty() && options.server_name.empty())) {
    return absl::InvalidArgumentError(
        "--tls-ca, --tls-certificate, --tls-key and --tls-server-name need --tls");
  }
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return absl::InvalidArgumentError(
        "a client certificate needs its key: give both --tls-certificate and --tls-key");
  }
  return absl::OkStatus();
}

bool IsThisMachine(absl::string_view address) {
  if (absl::StartsWith(address, "unix:") || absl::StartsWith(address, "[::1]:")) return true;
  const absl::string_view host = address.substr(0, address.rfind(':'));
  const bool numeric = std::all_of(
      host.begin(), host.end(), [](unsigned char c) { return c == '.' || absl::ascii_isdigit(c); });
  return host == "localhost" || (numeric && absl::StartsWith(host, "127."));
}

class TokenInterceptor final : public grpc::experimental::Interceptor {
 public:
  explicit TokenInterceptor(const std::string& header) : header_(header) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            grpc::experimental::InterceptionHookPoints::PRE_SEND_INITIAL_METADATA)) {
      methods->GetSendInitialMetadata()->insert({"authorization", header_});
    }
    methods->Proceed();
  }

 private:
  const std::string header_;
};

// An interceptor, because gRPC's call credentials refuse to work on plaintext channels.
class TokenInterceptorFactory final : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  explicit TokenInterceptorFactory(absl::string_view token)
      : header_(absl::StrCat("Bearer ", token)) {}
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo*) override {
    return new TokenInterceptor(header_);
  }

 private:
  const std::string header_;
};

absl::StatusOr<ChannelInterceptors> TokenInterceptorsOf(const std::string& token,
                                                        const std::string& address,
                                                        const AccessOptions& options) {
  ChannelInterceptors interceptors;
  if (token.empty()) return interceptors;
  if (!options.tls && !options.token_over_plaintext && !IsThisMachine(address)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the token would go to ", address,
                     " unencrypted; use --tls, or allow it with --token-over-plaintext if the "
                     "network is protected otherwise"));
  }
  interceptors.push_back(std::make_unique<TokenInterceptorFactory>(token));
  return interceptors;
}

}  // namespace

absl::StatusOr<AccessFiles> ReadAccessFiles(const AccessOptions& options) {
  ESE_RETURN_IF_ERROR(CheckCombination(options));
  AccessFiles files;
  if (!options.ca_file.empty()) {
    ESE_ASSIGN_OR_RETURN(files.ca, ReadFile(options.ca_file, "--tls-ca"));
    ESE_RETURN_IF_ERROR(ParseCertificate(files.ca, options.ca_file, "--tls-ca").status());
  }
  if (!options.certificate_file.empty()) {
    ESE_ASSIGN_OR_RETURN(files.certificate,
                         ReadFile(options.certificate_file, "--tls-certificate"));
    ESE_ASSIGN_OR_RETURN(files.key, ReadFile(options.key_file, "--tls-key"));
    ESE_RETURN_IF_ERROR(CheckIdentity(options, files));
  }
  ESE_ASSIGN_OR_RETURN(files.token, ReadToken(options));
  return files;
}

absl::StatusOr<ChannelInterceptors> MakeTokenInterceptors(const std::string& address,
                                                          const AccessOptions& options) {
  ESE_ASSIGN_OR_RETURN(const AccessFiles files, ReadAccessFiles(options));
  return TokenInterceptorsOf(files.token, address, options);
}

grpc::ChannelArguments MakeChannelArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Look for a server that restarts at least once a second; gRPC's default is two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // Log-posteriors of a large chunk may exceed gRPC's limit of 4 MB.
  arguments.SetMaxReceiveMessageSize(64 << 20);
  return arguments;
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& address,
                                                           const AccessOptions& options) {
  ESE_ASSIGN_OR_RETURN(const AccessFiles files, ReadAccessFiles(options));
  ESE_ASSIGN_OR_RETURN(ChannelInterceptors interceptors,
                       TokenInterceptorsOf(files.token, address, options));
  grpc::ChannelArguments arguments = MakeChannelArguments();
  if (!options.server_name.empty()) arguments.SetSslTargetNameOverride(options.server_name);
  const std::shared_ptr<grpc::ChannelCredentials> credentials =
      options.tls ? grpc::SslCredentials({files.ca, files.key, files.certificate})
                  : grpc::InsecureChannelCredentials();
  return grpc::experimental::CreateCustomChannelWithInterceptors(address, credentials, arguments,
                                                                 std::move(interceptors));
}

}  // namespace ese
