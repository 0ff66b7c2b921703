// SPDX-License-Identifier: Apache-2.0
#include "base/test_certificates.h"

#include <fstream>
#include <iterator>
#include <memory>

#include "gtest/gtest.h"
#include "openssl/bio.h"
#include "openssl/pem.h"
#include "openssl/x509v3.h"

namespace ese {
namespace {

std::shared_ptr<X509> Parse(const std::string& pem) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  return {PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free};
}

// Returns what OpenSSL finds wrong with the certificate, or X509_V_OK.
int Verify(const std::string& certificate, const TestAuthority& authority) {
  const std::unique_ptr<X509_STORE, void (*)(X509_STORE*)> store(X509_STORE_new(), X509_STORE_free);
  X509_STORE_add_cert(store.get(), Parse(authority.certificate()).get());
  const std::unique_ptr<X509_STORE_CTX, void (*)(X509_STORE_CTX*)> context(X509_STORE_CTX_new(),
                                                                           X509_STORE_CTX_free);
  const auto parsed = Parse(certificate);
  X509_STORE_CTX_init(context.get(), store.get(), parsed.get(), nullptr);
  X509_verify_cert(context.get());
  return X509_STORE_CTX_get_error(context.get());
}

TEST(TestCertificatesTest, OnlyTheirOwnAuthorityVouchesForThem) {
  const TestAuthority authority;
  const TestAuthority other;
  const std::string certificate = authority.Issue(LocalhostRequest()).certificate;
  EXPECT_EQ(Verify(certificate, authority), X509_V_OK);
  EXPECT_NE(Verify(certificate, other), X509_V_OK);
}

TEST(TestCertificatesTest, TheValidityIsAsRequested) {
  const TestAuthority authority;
  CertificateRequest request = LocalhostRequest();
  request.valid_until = std::chrono::seconds(-1);
  EXPECT_EQ(Verify(authority.Issue(request).certificate, authority), X509_V_ERR_CERT_HAS_EXPIRED);
  request.valid_from = std::chrono::hours(1);
  request.valid_until = std::chrono::hours(2);
  EXPECT_EQ(Verify(authority.Issue(request).certificate, authority), X509_V_ERR_CERT_NOT_YET_VALID);
}

TEST(TestCertificatesTest, NamesAreAsRequested) {
  const auto certificate = Parse(TestAuthority().Issue(LocalhostRequest()).certificate);
  EXPECT_EQ(X509_check_host(certificate.get(), "localhost", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "example.com", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_ip_asc(certificate.get(), "127.0.0.1", 0), 1);
}

TEST(TestCertificatesTest, PairsAreWrittenToFiles) {
  const CertificateFiles files =
      TestAuthority().IssueTo(testing::TempDir(), "ese_test_pair", LocalhostRequest());
  std::ifstream file(files.certificate);
  const std::string pem{std::istreambuf_iterator<char>(file), {}};
  EXPECT_NE(Parse(pem), nullptr);
  EXPECT_TRUE(std::ifstream(files.key).good());
}

}  // namespace
}  // namespace ese
