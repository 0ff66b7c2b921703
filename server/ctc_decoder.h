// SPDX-License-Identifier: Apache-2.0
// Incremental CTC best path: the most likely unit of every frame, repeats collapsed, blanks
// dropped.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace ese {

// A unit on the best path and the frame in which the path entered it, counted from the stream's
// start.
struct DecodedUnit {
  int index = 0;
  int64_t frame = 0;

  friend bool operator==(const DecodedUnit&, const DecodedUnit&) = default;
};

// One stream's best path. The units do not depend on how the frames are cut into calls.
// Not thread-safe.
class CtcDecoder {
 public:
  // REQUIRES: 0 <= blank < num_units.
  CtcDecoder(int num_units, int blank) : CtcDecoder(num_units, blank, 0, blank) {}
  // Goes on at `frame` after a decoder whose last_unit() is given. REQUIRES: 0 <= last_unit <
  // num_units.
  CtcDecoder(int num_units, int blank, int64_t frame, int last_unit);

  // Appends to *units those that begin in the next frames, `logits` [n][num_units]. Of equal logits
  // the lower index wins. A unit that goes on from the call before is not repeated.
  void Accept(absl::Span<const int32_t> logits, std::vector<DecodedUnit>* units);

  // Of the best path as far as it goes; the blank at the start.
  int last_unit() const { return last_unit_; }

 private:
  int num_units_;
  int blank_;
  int last_unit_;
  int64_t frame_;
};

}  // namespace ese
