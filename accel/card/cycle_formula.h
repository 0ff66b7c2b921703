// SPDX-License-Identifier: Apache-2.0
// How many clock cycles the ese_channel kernel takes for a batch, without simulating it: for the
// pace of the emulated card and for ese-compile inspect. Nothing of Verilator is in it.
#pragma once

#include <cstdint>

#include "accel/card/card_model.h"

namespace ese {

// The card's memory, in the kernel's clock.
struct CardMemoryTiming {
  // Cycles from a request to its first beat, on average.
  double latency = 90;
  // Beats a cycle of all ports together, on average over refreshes: DDR4-2400 (rtl_bench.cc).
  double beats_per_cycle = 1.29;
};
inline constexpr CardMemoryTiming kIdealMemory = {.latency = 1, .beats_per_cycle = 3};

inline constexpr double kCardMegahertz = 200;

// From the start of a batch to its end: `lanes` streams, the longest with `frames` frames, both at
// least 1. Of the model only shape, bytes, passes, inputs, y_columns, cells, rows and entry_beats
// are looked at. Takes about the time of four CPU steps, whatever `frames`.
int64_t BatchCycles(const CardModel& model, int lanes, int frames,
                    const CardMemoryTiming& memory = {});

}  // namespace ese
