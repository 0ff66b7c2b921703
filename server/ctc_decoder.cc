// SPDX-License-Identifier: Apache-2.0
#include "server/ctc_decoder.h"

#include <algorithm>
#include <cassert>
#include <cstddef>

namespace ese {

CtcDecoder::CtcDecoder(int num_units, int blank, int64_t frame, int last_unit)
    : num_units_(num_units), blank_(blank), last_unit_(last_unit), frame_(frame) {
  assert(0 <= blank && blank < num_units && 0 <= last_unit && last_unit < num_units);
}

void CtcDecoder::Accept(absl::Span<const int32_t> logits, std::vector<DecodedUnit>* units) {
  assert(logits.size() % num_units_ == 0);
  for (size_t at = 0; at < logits.size(); at += num_units_, ++frame_) {
    const auto* row = logits.data() + at;
    const int best = static_cast<int>(std::max_element(row, row + num_units_) - row);
    if (best != last_unit_ && best != blank_) units->push_back({best, frame_});
    last_unit_ = best;
  }
}

}  // namespace ese
