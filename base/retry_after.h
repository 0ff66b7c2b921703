// SPDX-License-Identifier: Apache-2.0
// A hint when to try again, which a status that refuses something carries.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "base/clock.h"

namespace ese {

// Adds the hint to an error, rounded up to whole milliseconds. REQUIRES: !status->ok(), after >= 0.
void SetRetryAfter(Duration after, absl::Status* status);

// Returns the hint that the error carries, if any.
std::optional<Duration> RetryAfter(const absl::Status& status);

}  // namespace ese
