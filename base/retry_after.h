// SPDX-License-Identifier: Apache-2.0
// When to try again, carried by the status that refuses.
#pragma once

#include <optional>

#include "absl/status/status.h"
#include "base/clock.h"

namespace ese {

// Adds the hint, in whole milliseconds rounded up, to an error. REQUIRES: !status->ok(), after >=
// 0.
void SetRetryAfter(Duration after, absl::Status* status);

// The hint that an error carries, if any.
std::optional<Duration> RetryAfter(const absl::Status& status);

}  // namespace ese
