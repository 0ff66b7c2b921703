// SPDX-License-Identifier: Apache-2.0
// Incremental CTC best-path decoding: takes the most likely unit of every frame, collapses repeats,
// and drops blanks.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace ese {

// A unit on the best path, and the frame in which it begins, counted from the start of the stream.
struct DecodedUnit {
  int index = 0;
  int64_t frame = 0;

  friend bool operator==(const DecodedUnit&, const DecodedUnit&) = default;
};

// Decodes one stream. The units do not depend on how the frames are divided among calls of Accept.
// Not thread-safe.
class CtcDecoder {
 public:
  // REQUIRES: 0 <= blank < num_units.
  CtcDecoder(int num_units, int blank) : CtcDecoder(num_units, blank, 0, blank) {}
  // Continues at `frame` from a decoder whose last_unit() is given. REQUIRES: 0 <= last_unit <
  // num_units.
  CtcDecoder(int num_units, int blank, int64_t frame, int last_unit);

  // Appends to *units the units that begin in the next frames, whose logits are [n][num_units]. If
  // logits are equal, the lowest index wins. A unit that continues from the previous call is not
  // repeated.
  void Accept(absl::Span<const int32_t> logits, std::vector<DecodedUnit>* units);

  // The most likely unit of the last frame, or the blank before the first frame.
  int last_unit() const { return last_unit_; }

 private:
  int num_units_;
  int blank_;
  int last_unit_;
  int64_t frame_;
};

}  // namespace ese
