// SPDX-License-Identifier: Apache-2.0
#include "server/certificate_check.h"

#include <algorithm>
#include <ctime>
#include <limits>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "openssl/bio.h"
#include "openssl/err.h"
#include "openssl/pem.h"
#include "openssl/ssl.h"
#include "openssl/x509.h"

namespace ese {
namespace {

using Bio = std::unique_ptr<BIO, int (*)(BIO*)>;
using Certificate = std::unique_ptr<X509, void (*)(X509*)>;
using Key = std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)>;

Bio Open(const std::string& content) {
  return {BIO_new_mem_buf(content.data(), static_cast<int>(content.size())), BIO_free};
}

// Returns what OpenSSL says about the last failure, and forgets it.
std::string LastError() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  std::string text = reason == nullptr ? "unknown error" : reason;
  ERR_clear_error();
  return text;
}

int Count(absl::string_view text, absl::string_view part) {
  int count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

absl::StatusOr<std::vector<Certificate>> ParseCertificates(const PemFile& file) {
  ERR_clear_error();
  const Bio bio = Open(file.content);
  std::vector<Certificate> certificates;
  while (X509* x = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(x, X509_free);
  }
  // At the end of the file OpenSSL reports that no further block starts.
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  const std::string error = LastError();
  if (!at_end || Count(file.content, "-----BEGIN") != Count(file.content, "-----END")) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.path, " is not complete PEM (", at_end ? "a block does not end" : error,
                     "); write it under another name first, then rename it"));
  }
  if (certificates.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.path, " contains no certificate in PEM; convert it with openssl x509"));
  }
  return certificates;
}

std::string TimeText(const ASN1_TIME* time) {
  const Bio bio(BIO_new(BIO_s_mem()), BIO_free);
  ASN1_TIME_print(bio.get(), time);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

// Returns when the certificate expires, in seconds since 1970.
absl::StatusOr<int64_t> CheckValidNow(const std::string& path, const X509* certificate) {
  const ASN1_TIME* begin = X509_get0_notBefore(certificate);
  const ASN1_TIME* end = X509_get0_notAfter(certificate);
  if (X509_cmp_current_time(end) <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("the certificate in ", path, " expired on ",
                                                   TimeText(end), "; install a new one"));
  }
  if (X509_cmp_current_time(begin) > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate in ", path, " is not valid before ", TimeText(begin),
                     "; install one that is valid now, or correct the clock of this machine"));
  }
  std::tm time{};
  if (ASN1_TIME_to_tm(end, &time) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the certificate in ", path, " does not say when it expires; install another one"));
  }
  return timegm(&time);
}

absl::StatusOr<Key> ParseKey(const PemFile& file) {
  ERR_clear_error();
  // Without a callback OpenSSL would ask the terminal for a passphrase.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  Key key(PEM_read_bio_PrivateKey(Open(file.content).get(), nullptr, no_passphrase, nullptr),
          EVP_PKEY_free);
  if (key != nullptr) return key;
  return absl::InvalidArgumentError(
      absl::StrCat(file.path, " contains no private key in PEM without a passphrase (", LastError(),
                   "); convert it with openssl pkey"));
}

}  // namespace

absl::StatusOr<int64_t> CheckCertificatePair(const PemFile& chain, const PemFile& key) {
  ESE_ASSIGN_OR_RETURN(const auto certificates, ParseCertificates(chain));
  int64_t expiry = std::numeric_limits<int64_t>::max();
  for (const Certificate& certificate : certificates) {
    ESE_ASSIGN_OR_RETURN(const int64_t end, CheckValidNow(chain.path, certificate.get()));
    expiry = std::min(expiry, end);
  }
  ESE_ASSIGN_OR_RETURN(const Key parsed, ParseKey(key));
  X509* const own = certificates.front().get();
  if (X509_check_private_key(own, parsed.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat("the key in ", key.path, " does not belong to the first certificate in ",
                     chain.path, "; install the two files of one pair"));
  }
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_server_method()),
                                                             SSL_CTX_free);
  if (context == nullptr || SSL_CTX_use_certificate(context.get(), own) != 1 ||
      SSL_CTX_use_PrivateKey(context.get(), parsed.get()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat("OpenSSL refuses the certificate in ",
                                                   chain.path, " (", LastError(),
                                                   "); install one with a stronger key"));
  }
  return expiry;
}

absl::Status CheckAuthorities(const PemFile& authorities) {
  return ParseCertificates(authorities).status();
}

}  // namespace ese
