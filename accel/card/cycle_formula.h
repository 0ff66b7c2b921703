// SPDX-License-Identifier: Apache-2.0
// Computes how many clock cycles the ese_channel kernel takes for a batch, without simulating it.
// It paces the emulated card, and ese-compile inspect prints it.
#pragma once

#include <cstdint>

#include "accel/card/card_model.h"

namespace ese {

// The speed of the card's memory, in cycles of the kernel's clock.
struct CardMemoryTiming {
  // Cycles from a request to its first beat, on average.
  double latency = 90;
  // Beats per cycle, all ports together, averaged over refreshes. The default is DDR4-2400
  // (rtl_bench.cc).
  double beats_per_cycle = 1.29;
};
inline constexpr CardMemoryTiming kIdealMemory = {.latency = 1, .beats_per_cycle = 3};

inline constexpr double kCardMegahertz = 200;

// Returns the cycles from the start of a batch to its end, for `lanes` streams of which the longest
// has `frames` frames; both are at least 1. It reads only shape, bytes, passes, inputs, y_columns,
// cells, rows and entry_beats of the model. The call takes about as long as four CPU steps,
// whatever `frames` is.
int64_t BatchCycles(const CardModel& model, int lanes, int frames,
                    const CardMemoryTiming& memory = {});

}  // namespace ese
