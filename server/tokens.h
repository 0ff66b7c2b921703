// SPDX-License-Identifier: Apache-2.0
// The file of --tokens: who may use the server, and how many streams each tenant may have open.
// docs/security.md describes its form.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ese {

// Immutable.
class TokenTable {
 public:
  static constexpr int kUnlimited = std::numeric_limits<int>::max();

  // Parses the contents of the file `path`. INVALID_ARGUMENT names the path and the line.
  static absl::StatusOr<TokenTable> Parse(const std::string& path, absl::string_view content);

  // Returns the tenant of the token, or nothing if the table does not have it. How long this takes
  // does not depend on the token's similarity to those of the table.
  std::optional<std::string> TenantOfToken(absl::string_view token) const;
  // Returns whether clients whose certificate has this common name are this tenant.
  bool HasCertificateTenant(const std::string& common_name) const {
    return certificate_tenants_.contains(common_name);
  }
  // Returns how many streams the tenant may have open; 0 for a tenant that has no line.
  int MaxStreams(const std::string& tenant) const;

 private:
  using Hash = std::array<uint8_t, 32>;
  struct Token {
    Hash hash;
    std::string tenant;
  };

  static Hash HashOf(absl::string_view token);
  absl::Status AddLine(absl::string_view line);
  absl::Status AddCaller(absl::string_view caller, const std::string& tenant);

  std::vector<Token> tokens_;
  std::set<std::string> certificate_tenants_;
  std::map<std::string, int> max_streams_;  // by tenant
};

}  // namespace ese
