// SPDX-License-Identifier: Apache-2.0
// Parses JSON from untrusted files: refuses what is ambiguous or could exhaust the stack.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json_fwd.hpp"

namespace ese {

// The deepest nesting of objects and lists that is accepted. It is bounded because the code that
// walks the result is recursive.
inline constexpr int kMaxJsonDepth = 64;

// Parses `text` (UTF-8). Returns INVALID_ARGUMENT for text that is not JSON (with line and column),
// for nesting beyond kMaxJsonDepth, and for an object with the same key twice. The message begins
// with `source`.
absl::StatusOr<nlohmann::json> ParseStrictJson(absl::string_view text, const std::string& source);

}  // namespace ese
