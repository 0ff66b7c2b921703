// SPDX-License-Identifier: Apache-2.0
#include "client/tls_diagnosis.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "client/dial.h"

namespace ese {
namespace {

using ContextPtr = std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)>;
using SslPtr = std::unique_ptr<SSL, decltype(&SSL_free)>;

std::string ExpectedName(const std::string& address, const AccessOptions& access) {
  if (!access.server_name.empty()) return access.server_name;
  if (absl::StartsWith(address, "unix:")) return "localhost";  // as gRPC does
  std::string host = address.substr(0, address.rfind(':'));
  if (absl::StartsWith(host, "[")) host = host.substr(1, host.size() - 2);
  return host;
}

void Configure(SSL_CTX* context, const AccessOptions& access) {
  // MakeChannel has read and checked these files, so a failure here shows in the handshake.
  if (access.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context);
  } else {
    SSL_CTX_load_verify_file(context, access.ca_file.c_str());
  }
  if (access.certificate_file.empty()) return;
  SSL_CTX_use_certificate_chain_file(context, access.certificate_file.c_str());
  SSL_CTX_use_PrivateKey_file(context, access.key_file.c_str(), SSL_FILETYPE_PEM);
}

// Repeats `step` (SSL_connect or SSL_read) until it is done or fails. Returns SSL_get_error's code;
// SSL_ERROR_WANT_READ or SSL_ERROR_WANT_WRITE means that the time is over.
template <typename Step>
int Complete(SSL* ssl, Duration timeout, Step step) {
  const TimePoint deadline = Clock::Real()->Now() + timeout;
  while (true) {
    ERR_clear_error();
    const int error = SSL_get_error(ssl, step());
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return error;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::Real()->Now());
    pollfd wait = {SSL_get_fd(ssl),
                   static_cast<short>(error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT), 0};
    if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) <= 0) return error;
  }
}

std::string CertificateFault(int64_t result, const std::string& name) {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "the server's certificate has expired; its operator must renew it";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "the server's certificate is not valid yet; check the clocks of both machines";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return absl::StrCat("the server's certificate is not for \"", name,
                          "\"; connect with a name that it has, or give that name with "
                          "--tls-server-name");
    default:
      return absl::StrCat("the server's certificate is not trusted (",
                          X509_verify_cert_error_string(result),
                          "); name the certificate of who signed it with --tls-ca");
  }
}

// The reason of the last error of OpenSSL.
std::string Reason() {
  const char* reason = ERR_reason_error_string(ERR_peek_error());
  return reason ? reason : "the connection was closed";
}

// With TLS 1.3, a server refuses the client's certificate only after the client's handshake, so
// this waits for the server's first bytes.
std::string FaultAfterHandshake(SSL* ssl, Duration timeout) {
  char byte;
  const int error = Complete(ssl, timeout, [&] { return SSL_read(ssl, &byte, 1); });
  if (error == SSL_ERROR_NONE || error == SSL_ERROR_WANT_READ) return "";
  return Reason();
}

std::string RefusedByServer(const std::string& reason, const AccessOptions& access) {
  if (access.certificate_file.empty()) {
    return absl::StrCat("the server ended the handshake (", reason,
                        "); if it wants a client certificate, give one with --tls-certificate and "
                        "--tls-key");
  }
  return absl::StrCat("the server does not accept the client certificate ", access.certificate_file,
                      " (", reason, "); use one that an authority of the server signed");
}

// The fault of a handshake with the client's options.
std::string TlsFault(SSL* ssl, const std::string& name, const AccessOptions& access,
                     Duration timeout) {
  const int error = Complete(ssl, timeout, [&] { return SSL_connect(ssl); });
  if (error == SSL_ERROR_NONE) {
    const std::string reason = FaultAfterHandshake(ssl, timeout);
    if (!reason.empty()) return RefusedByServer(reason, access);
    return "the first connection failed and a second one succeeded; try again";
  }
  if (error == SSL_ERROR_WANT_READ) {
    return "the server does not answer the TLS handshake; is it an ese-server with TLS?";
  }
  const int64_t result = SSL_get_verify_result(ssl);
  if (result != X509_V_OK) return CertificateFault(result, name);
  // A peer that has shown a certificate speaks TLS.
  if (SSL_get0_peer_certificate(ssl) != nullptr) return RefusedByServer(Reason(), access);
  return absl::StrCat("the server does not speak TLS (", Reason(),
                      "); leave out --tls, or use its port with TLS");
}

// Why a plaintext connection fails: whether the server speaks TLS.
std::string PlaintextFault(SSL* ssl, Duration timeout) {
  SSL_set_verify(ssl, SSL_VERIFY_NONE, nullptr);
  const int error = Complete(ssl, timeout, [&] { return SSL_connect(ssl); });
  if (error == SSL_ERROR_NONE || SSL_get0_peer_certificate(ssl) != nullptr) {
    return "the server speaks TLS and this client does not; add --tls";
  }
  return "the server closes the connection; is it an ese-server?";
}

void ExpectName(SSL* ssl, const std::string& name) {
  X509_VERIFY_PARAM* parameters = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str()) == 1) return;
  SSL_set1_host(ssl, name.c_str());
  SSL_set_tlsext_host_name(ssl, name.c_str());
}

}  // namespace

absl::Status DiagnoseConnection(const std::string& address, const AccessOptions& access,
                                Duration timeout) {
  const absl::StatusOr<UniqueFd> connected = DialSocket(address, timeout);
  if (!connected.ok()) {
    return absl::UnavailableError(
        absl::StrCat(connected.status().message(),
                     "; start ese-server there, or name the server's address with --server "
                     "HOST:PORT"));
  }
  const ContextPtr context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  if (!context) return absl::InternalError("OpenSSL is out of memory");
  if (access.tls) Configure(context.get(), access);
  const SslPtr ssl(SSL_new(context.get()), SSL_free);
  if (!ssl) return absl::InternalError("OpenSSL is out of memory");
  const unsigned char http2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), http2, sizeof(http2));
  SSL_set_fd(ssl.get(), connected->get());
  const std::string name = ExpectedName(address, access);
  if (access.tls) {
    SSL_set_verify(ssl.get(), SSL_VERIFY_PEER, nullptr);
    ExpectName(ssl.get(), name);
  }
  const std::string fault =
      access.tls ? TlsFault(ssl.get(), name, access, timeout) : PlaintextFault(ssl.get(), timeout);
  ERR_clear_error();
  return absl::UnavailableError(absl::StrCat("no connection to ", address, ": ", fault));
}

}  // namespace ese
