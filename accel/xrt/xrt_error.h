// SPDX-License-Identifier: Apache-2.0
// XRT's exceptions as statuses.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ese {

// Translates the exception that is being handled. The message is `what`, the exception's text and a
// remedy. PERMISSION_DENIED: this user may not open the card. FAILED_PRECONDITION: another program
// holds it. NOT_FOUND: it is gone. RESOURCE_EXHAUSTED: its memory is full. UNAVAILABLE: all others.
absl::Status CurrentXrtError(const std::string& what);

// Calls function() and translates what it throws.
template <typename Function>
absl::Status TranslateXrt(const std::string& what, Function&& function) {
  try {
    function();
    return absl::OkStatus();
  } catch (...) {
    return CurrentXrtError(what);
  }
}

}  // namespace ese
