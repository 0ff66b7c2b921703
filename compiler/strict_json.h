// SPDX-License-Identifier: Apache-2.0
// JSON of files that others wrote: nothing ambiguous, nothing that could exhaust the stack.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json_fwd.hpp"

namespace ese {

// Deepest nesting of objects and lists that is read: what walks the result is recursive.
inline constexpr int kMaxJsonDepth = 64;

// The value that `text` (UTF-8) holds. INVALID_ARGUMENT beginning with `source`: not JSON, with
// line and column; nested too deep; a key that an object has twice (which one was meant?).
absl::StatusOr<nlohmann::json> ParseStrictJson(absl::string_view text, const std::string& source);

}  // namespace ese
