// SPDX-License-Identifier: Apache-2.0
// Turns logits into log-posteriors, with the same bits on every processor (equation 16 of
// docs/arithmetic.md).
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace ese {

// Computes the natural logarithms of the posteriors of `logits` (Q12.19), to within 1e-6. Uses
// plain IEEE double arithmetic in a fixed order and no library function. REQUIRES: both spans have
// the same size, which is not 0.
void LogSoftmax(absl::Span<const int32_t> logits, absl::Span<float> log_posteriors);

}  // namespace ese
