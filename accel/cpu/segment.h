// SPDX-License-Identifier: Apache-2.0
// A part of a batch: some of its lanes and steps, executed by one algorithm.
#pragma once

#include <cstddef>

#include "absl/types/span.h"
#include "accel/backend.h"

namespace ese {

// Steps first_step to end_step - 1. Every lane is longer than first_step; the longest come first.
struct Segment {
  absl::Span<Lane* const> lanes;
  int first_step = 0;
  int end_step = 0;

  // Lane i's state before first_step: what an earlier segment stored, or the batch's input.
  const StreamState& StateBefore(size_t i) const {
    return first_step == 0 ? *lanes[i]->state_in : *lanes[i]->state_out;
  }
  // The number of lanes that are longer than `step`.
  int ActiveAt(int step, int input_columns) const {
    const size_t bytes = size_t(step) * input_columns;
    int active = static_cast<int>(lanes.size());
    while (active > 0 && lanes[active - 1]->frames.size() <= bytes) --active;
    return active;
  }
};

}  // namespace ese
