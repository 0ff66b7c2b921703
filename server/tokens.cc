// SPDX-License-Identifier: Apache-2.0
#include "server/tokens.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status.h"
#include "openssl/crypto.h"
#include "openssl/evp.h"

namespace ese {
namespace {

constexpr absl::string_view kCertificate = "certificate";

absl::StatusOr<int> ParseMaxStreams(const std::vector<absl::string_view>& settings) {
  std::optional<int> max_streams;
  for (absl::string_view setting : settings) {
    const absl::string_view whole = setting;
    int value = 0;
    if (!absl::ConsumePrefix(&setting, "max_streams=") || !absl::SimpleAtoi(setting, &value) ||
        value < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", whole, "\" is no setting; write max_streams=N with a number of 0 or above"));
    }
    if (max_streams) return absl::InvalidArgumentError("max_streams is set twice; keep one");
    max_streams = value;
  }
  return max_streams.value_or(TokenTable::kUnlimited);
}

}  // namespace

absl::StatusOr<TokenTable> TokenTable::Parse(const std::string& path, absl::string_view content) {
  TokenTable table;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(content, '\n')) {
    ++number;
    const absl::Status status = table.AddLine(line);
    if (status.ok()) continue;
    return absl::InvalidArgumentError(absl::StrCat(path, ":", number, ": ", status.message()));
  }
  return table;
}

absl::Status TokenTable::AddLine(absl::string_view line) {
  line = absl::StripAsciiWhitespace(line);
  if (line.empty() || line.front() == '#') return absl::OkStatus();
  std::vector<absl::string_view> fields =
      absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (fields.size() < 2) {
    // The line may be a token by mistake, so the message does not repeat it.
    return absl::InvalidArgumentError("the line names no tenant; write: SHA256 TENANT");
  }
  const std::string tenant(fields[1]);
  ESE_RETURN_IF_ERROR(AddCaller(fields[0], tenant));
  fields.erase(fields.begin(), fields.begin() + 2);
  ESE_ASSIGN_OR_RETURN(const int max_streams, ParseMaxStreams(fields));
  const auto [entry, is_new] = max_streams_.emplace(tenant, max_streams);
  if (is_new || entry->second == max_streams) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("an earlier line gives the tenant \"", tenant,
                   "\" another max_streams; give all lines of a tenant the same"));
}

absl::Status TokenTable::AddCaller(absl::string_view caller, const std::string& tenant) {
  if (caller == kCertificate) {
    if (certificate_tenants_.insert(tenant).second) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("an earlier line already has \"certificate ", tenant, "\"; keep one"));
  }
  Token token{.hash = {}, .tenant = tenant};
  const bool is_hash =
      caller.size() == 2 * token.hash.size() && std::ranges::all_of(caller, absl::ascii_isxdigit);
  if (!is_hash) {
    return absl::InvalidArgumentError(
        "the line begins neither with a SHA-256 hash of 64 hexadecimal digits nor with "
        "\"certificate\"; make the hash with: printf %s TOKEN | sha256sum");
  }
  const std::string bytes = absl::HexStringToBytes(caller);
  std::memcpy(token.hash.data(), bytes.data(), token.hash.size());
  const bool known = std::ranges::any_of(
      tokens_, [&token](const Token& other) { return other.hash == token.hash; });
  if (known) return absl::InvalidArgumentError("an earlier line has the same hash; keep one");
  tokens_.push_back(std::move(token));
  return absl::OkStatus();
}

TokenTable::Hash TokenTable::HashOf(absl::string_view token) {
  Hash hash;
  if (EVP_Digest(token.data(), token.size(), hash.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    std::abort();  // fails only if memory is exhausted
  }
  return hash;
}

std::optional<std::string> TokenTable::TenantOfToken(absl::string_view token) const {
  const Hash hash = HashOf(token);
  const Token* found = nullptr;
  for (const Token& each : tokens_) {
    if (CRYPTO_memcmp(each.hash.data(), hash.data(), hash.size()) == 0) found = &each;
  }
  if (found == nullptr) return std::nullopt;
  return found->tenant;
}

int TokenTable::MaxStreams(const std::string& tenant) const {
  const auto found = max_streams_.find(tenant);
  return found == max_streams_.end() ? 0 : found->second;
}

}  // namespace ese
