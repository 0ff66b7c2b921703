// SPDX-License-Identifier: Apache-2.0
// Certificates for tests: an authority and the pairs of certificate and key that it issues.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "openssl/types.h"

namespace ese {

struct CertificateRequest {
  std::string common_name = {};  // empty: the subject is empty
  // In OpenSSL's notation, for example "DNS:localhost", "IP:127.0.0.1" or "URI:spiffe://site/a".
  std::vector<std::string> alternative_names = {};
  // When the certificate begins and ceases to be valid, relative to now. A negative end makes an
  // expired certificate.
  std::chrono::seconds valid_from = std::chrono::hours(-24);
  std::chrono::seconds valid_until = std::chrono::hours(24);
};

// A request for a server's certificate that is valid for localhost, 127.0.0.1 and ::1.
CertificateRequest LocalhostRequest();

// Both in PEM.
struct CertificatePair {
  std::string certificate;
  std::string key;
};

// The paths of a pair that has been written to files.
struct CertificateFiles {
  std::string certificate;
  std::string key;
};

// Immutable. Aborts if OpenSSL fails.
class TestAuthority {
 public:
  // Makes a new key and a certificate that it signs itself.
  explicit TestAuthority(const std::string& common_name = "ESE test authority");

  const std::string& certificate() const { return certificate_pem_; }  // in PEM
  // Issues a certificate for a new key. Servers and clients can both use it.
  CertificatePair Issue(const CertificateRequest& request) const;
  // Issues a pair and writes it to FOLDER/NAME.crt and FOLDER/NAME.key.
  CertificateFiles IssueTo(const std::string& folder, const std::string& name,
                           const CertificateRequest& request) const;

 private:
  std::shared_ptr<EVP_PKEY> key_;
  std::shared_ptr<X509> certificate_;
  std::string certificate_pem_;
};

// Replaces the file in one step, so that no reader sees half of it. Aborts if that fails.
void WriteTestFile(const std::string& path, const std::string& content);

}  // namespace ese
