// SPDX-License-Identifier: Apache-2.0
// A part of a batch that is executed in one way.
#pragma once

#include <cstddef>

#include "absl/types/span.h"
#include "accel/backend.h"

namespace ese {

// Steps first_step to end_step - 1 of lanes that are all longer than first_step, the longest first.
struct Segment {
  absl::Span<Lane* const> lanes;
  int first_step = 0;
  int end_step = 0;

  // Where lane i's state is at the beginning: what an earlier segment stored, if there was one.
  const StreamState& StateBefore(size_t i) const {
    return first_step == 0 ? *lanes[i]->state_in : *lanes[i]->state_out;
  }
  // Lanes that are longer than `step`.
  int ActiveAt(int step, int input_dim) const {
    const size_t bytes = size_t(step) * input_dim;
    int active = static_cast<int>(lanes.size());
    while (active > 0 && lanes[active - 1]->frames.size() <= bytes) --active;
    return active;
  }
};

}  // namespace ese
