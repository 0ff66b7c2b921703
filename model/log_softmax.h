// SPDX-License-Identifier: Apache-2.0
// Logits to log-posteriors: one deterministic function, the same bits on every processor (16).
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace ese {

// Natural logarithms of the posteriors of `logits` (Q12.19). REQUIRES: equal, non-zero sizes.
// Plain IEEE double arithmetic in a fixed order, no library function: within 1e-6 of the exact
// value.
void LogSoftmax(absl::Span<const int32_t> logits, absl::Span<float> log_posteriors);

}  // namespace ese
