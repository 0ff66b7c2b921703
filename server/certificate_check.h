// SPDX-License-Identifier: Apache-2.0
// Checks certificates before they are put into service. All functions are thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ese {

// A file in PEM; messages name the path.
struct PemFile {
  std::string path;
  std::string content;
};

// Returns when the first of the chain's certificates expires, in seconds since 1970.
// INVALID_ARGUMENT: the chain is not complete PEM, one of its certificates has expired or is not
// valid yet, the key is not PEM or is encrypted, OpenSSL refuses to serve with the pair, or the key
// does not belong to the first certificate.
absl::StatusOr<int64_t> CheckCertificatePair(const PemFile& chain, const PemFile& key);

// INVALID_ARGUMENT: the file has no certificate, or is not complete PEM. Expired authorities are
// allowed, because a bundle may keep them.
absl::Status CheckAuthorities(const PemFile& authorities);

}  // namespace ese
