// SPDX-License-Identifier: Apache-2.0
// The hint of when to try again, which an error carries that refuses something for now.
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
