// SPDX-License-Identifier: Apache-2.0
// Translates XRT's exceptions to statuses.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ese {

// Translates the exception that is being handled. The message consists of `what`, the exception's
// text and a remedy. PERMISSION_DENIED: this user may not open the card. FAILED_PRECONDITION:
// another program holds the card. NOT_FOUND: the card is gone. RESOURCE_EXHAUSTED: the card's
// memory is full. UNAVAILABLE: any other error.
absl::Status CurrentXrtError(const std::string& what);

// Calls function() and translates any exception that it throws.
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
