// SPDX-License-Identifier: Apache-2.0
#include "base/test_certificates.h"

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "absl/strings/str_join.h"
#include "openssl/bio.h"
#include "openssl/ec.h"
#include "openssl/evp.h"
#include "openssl/pem.h"
#include "openssl/x509v3.h"

namespace ese {
namespace {

using Key = std::shared_ptr<EVP_PKEY>;
using Certificate = std::shared_ptr<X509>;

void Require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "test certificates: %s failed\n", what);
  std::abort();
}

Key NewKey() {
  Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  Require(key != nullptr, "EVP_EC_gen");
  return key;
}

std::string TextOf(BIO* bio) {
  char* data = nullptr;
  const int64_t size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

std::string ToPem(const Certificate& certificate) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
  Require(PEM_write_bio_X509(bio.get(), certificate.get()) == 1, "PEM_write_bio_X509");
  return TextOf(bio.get());
}

std::string ToPem(const Key& key) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
  Require(
      PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
      "PEM_write_bio_PrivateKey");
  return TextOf(bio.get());
}

// Returns a certificate for `key` that lacks only the issuer and the signature.
Certificate NewCertificate(const CertificateRequest& request, const Key& key) {
  static std::atomic<int64_t> serial{1};
  Certificate certificate(X509_new(), X509_free);
  X509* const x = certificate.get();
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set_int64(X509_get_serialNumber(x), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x), request.valid_from.count());
  X509_gmtime_adj(X509_getm_notAfter(x), request.valid_until.count());
  if (!request.common_name.empty()) {
    const auto* name = reinterpret_cast<const unsigned char*>(request.common_name.c_str());
    Require(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8, name, -1, -1,
                                       0) == 1,
            "X509_NAME_add_entry_by_txt");
  }
  Require(X509_set_pubkey(x, key.get()) == 1, "X509_set_pubkey");
  return certificate;
}

void AddExtension(const Certificate& certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate.get(), certificate.get(), nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, void (*)(X509_EXTENSION*)> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()), X509_EXTENSION_free);
  Require(extension != nullptr, "X509V3_EXT_conf_nid");
  Require(X509_add_ext(certificate.get(), extension.get(), -1) == 1, "X509_add_ext");
}

void Sign(const Certificate& certificate, const Certificate& issuer, const Key& key) {
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer.get()));
  Require(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0, "X509_sign");
}

}  // namespace

CertificateRequest LocalhostRequest() {
  return {.common_name = "localhost",
          .alternative_names = {"DNS:localhost", "IP:127.0.0.1", "IP:::1"}};
}

TestAuthority::TestAuthority(const std::string& common_name)
    : key_(NewKey()), certificate_(NewCertificate({.common_name = common_name}, key_)) {
  AddExtension(certificate_, NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(certificate_, NID_key_usage, "critical,keyCertSign,cRLSign");
  Sign(certificate_, certificate_, key_);
  certificate_pem_ = ToPem(certificate_);
}

CertificatePair TestAuthority::Issue(const CertificateRequest& request) const {
  const Key key = NewKey();
  const Certificate certificate = NewCertificate(request, key);
  AddExtension(certificate, NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(certificate, NID_ext_key_usage, "serverAuth,clientAuth");
  if (!request.alternative_names.empty()) {
    AddExtension(certificate, NID_subject_alt_name, absl::StrJoin(request.alternative_names, ","));
  }
  Sign(certificate, certificate_, key_);
  return {.certificate = ToPem(certificate), .key = ToPem(key)};
}

CertificateFiles TestAuthority::IssueTo(const std::string& folder, const std::string& name,
                                        const CertificateRequest& request) const {
  const CertificatePair pair = Issue(request);
  CertificateFiles files = {.certificate = folder + "/" + name + ".crt",
                            .key = folder + "/" + name + ".key"};
  WriteTestFile(files.certificate, pair.certificate);
  WriteTestFile(files.key, pair.key);
  return files;
}

void WriteTestFile(const std::string& path, const std::string& content) {
  const std::string part = path + ".part";
  std::ofstream file(part, std::ios::binary);
  file << content;
  file.close();
  Require(file.good() && std::rename(part.c_str(), path.c_str()) == 0, path.c_str());
}

}  // namespace ese
