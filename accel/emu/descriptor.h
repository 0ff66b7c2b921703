// SPDX-License-Identifier: Apache-2.0
// A batch as its descriptor in the card's memory tells it (docs/hardware.md).
#pragma once

#include <cstdint>
#include <vector>

#include "accel/card/card_model.h"
#include "accel/emu/unit.h"

namespace ese::emu {

struct Descriptor {
  BatchAddresses at;
  int lanes = 0;
  int frames = 0;                // of the longest lane
  std::vector<int> lane_frames;  // [lanes of the shape]
};

CardError ReadDescriptor(const CardShape& shape, KernelMemory* memory, uint64_t address,
                         Descriptor* out);

// Whether the kernel writes a status record after this.
bool LeavesStatus(CardError error);
// False if the record is not in memory.
bool WriteStatus(KernelMemory* memory, uint64_t address, const BatchStatus& status);

// What a faulty kernel does instead of a batch: no more than the status record of this error.
void EndWithError(KernelMemory* memory, uint64_t descriptor, CardError error);
// After the batch: flips a bit of its outputs.
void FlipABit(KernelMemory* memory, uint64_t descriptor);

}  // namespace ese::emu
