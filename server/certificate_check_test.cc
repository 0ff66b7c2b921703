// SPDX-License-Identifier: Apache-2.0
#include "server/certificate_check.h"

#include "base/test_certificates.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "openssl/evp.h"
#include "openssl/pem.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

std::string Check(const std::string& chain, const std::string& key) {
  return std::string(CheckCertificatePair({"a.crt", chain}, {"a.key", key}).status().message());
}

// Returns the key with a passphrase.
std::string Encrypted(const std::string& key) {
  BIO* const in = BIO_new_mem_buf(key.data(), static_cast<int>(key.size()));
  EVP_PKEY* const parsed = PEM_read_bio_PrivateKey(in, nullptr, nullptr, nullptr);
  BIO* const out = BIO_new(BIO_s_mem());
  const unsigned char passphrase[] = "secret";
  PEM_write_bio_PrivateKey(out, parsed, EVP_aes_128_cbc(), passphrase, 6, nullptr, nullptr);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(out, &data);
  std::string pem(data, static_cast<size_t>(size));
  EVP_PKEY_free(parsed);
  BIO_free(in);
  BIO_free(out);
  return pem;
}

TEST(CertificateCheckTest, AcceptsAPairWithItsChain) {
  const TestAuthority authority;
  const CertificatePair pair = authority.Issue(LocalhostRequest());
  EXPECT_EQ(Check(pair.certificate, pair.key), "");
  EXPECT_EQ(Check(pair.certificate + authority.certificate(), pair.key), "");
  EXPECT_EQ(Check("text before\n" + pair.certificate + "text after\n", pair.key), "");
}

TEST(CertificateCheckTest, ReturnsWhenTheFirstCertificateOfTheChainExpires) {
  const TestAuthority authority;
  const auto issue = [&](std::chrono::hours valid) {
    CertificateRequest request = LocalhostRequest();
    request.valid_until = valid;
    return authority.Issue(request);
  };
  const CertificatePair one = issue(std::chrono::hours(1));
  const CertificatePair nine = issue(std::chrono::hours(9));
  const auto expiry = [](const std::string& chain, const std::string& key) {
    return *CheckCertificatePair({"a.crt", chain}, {"a.key", key});
  };
  const int64_t first = expiry(one.certificate, one.key);
  EXPECT_EQ(expiry(nine.certificate + one.certificate, nine.key), first);
  // The two certificates were not issued within the same second for sure.
  EXPECT_NEAR(static_cast<double>(expiry(nine.certificate, nine.key) - first), 8 * 3600, 60);
}

TEST(CertificateCheckTest, EveryTruncationOfAFileIsRefused) {
  const TestAuthority authority;
  const CertificatePair pair = authority.Issue(LocalhostRequest());
  // Without its last line feed a file is still complete.
  for (size_t size = 0; size + 1 < pair.certificate.size(); ++size) {
    EXPECT_NE(Check(pair.certificate.substr(0, size), pair.key), "") << size;
  }
  for (size_t size = 0; size + 1 < pair.key.size(); ++size) {
    EXPECT_NE(Check(pair.certificate, pair.key.substr(0, size)), "") << size;
  }
  const std::string half = pair.certificate.substr(0, pair.certificate.size() / 2);
  EXPECT_THAT(Check(pair.certificate + half, pair.key), HasSubstr("a.crt is not complete PEM"));
}

TEST(CertificateCheckTest, RefusesAPairWithTheReason) {
  const TestAuthority authority;
  const CertificatePair pair = authority.Issue(LocalhostRequest());
  EXPECT_THAT(Check(pair.certificate, authority.Issue(LocalhostRequest()).key),
              HasSubstr("the key in a.key does not belong to the first certificate in a.crt"));
  EXPECT_THAT(Check(pair.key, pair.key), HasSubstr("a.crt contains no certificate"));
  EXPECT_THAT(Check(pair.certificate, pair.certificate), HasSubstr("no private key in PEM"));
  EXPECT_THAT(Check(pair.certificate, Encrypted(pair.key)), HasSubstr("without a passphrase"));
  EXPECT_THAT(Check("", pair.key), HasSubstr("a.crt contains no certificate"));

  CertificateRequest request = LocalhostRequest();
  request.valid_until = std::chrono::seconds(-1);
  const CertificatePair expired = authority.Issue(request);
  EXPECT_THAT(Check(expired.certificate, expired.key), HasSubstr("a.crt expired on "));
  EXPECT_THAT(Check(pair.certificate + expired.certificate, pair.key), HasSubstr("expired on "));
  request.valid_from = std::chrono::hours(1);
  request.valid_until = std::chrono::hours(2);
  const CertificatePair early = authority.Issue(request);
  EXPECT_THAT(Check(early.certificate, early.key), HasSubstr("a.crt is not valid before "));
}

TEST(CertificateCheckTest, AuthoritiesMustBeCompleteCertificates) {
  const std::string pem = TestAuthority().certificate();
  EXPECT_TRUE(CheckAuthorities({"ca", pem + TestAuthority().certificate()}).ok());
  EXPECT_FALSE(CheckAuthorities({"ca", pem + pem.substr(0, pem.size() / 2)}).ok());
  EXPECT_THAT(std::string(CheckAuthorities({"ca", "text"}).message()),
              HasSubstr("ca contains no certificate"));
}

}  // namespace
}  // namespace ese
