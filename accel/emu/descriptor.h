// SPDX-License-Identifier: Apache-2.0
// Reads a batch's descriptor from the card's memory and writes its status record (card_format.h).
#pragma once

#include <cstdint>
#include <vector>

#include "accel/card/card_format.h"
#include "accel/emu/unit.h"

namespace ese::emu {

struct Descriptor {
  BatchAddresses at;
  int lanes = 0;                 // in use
  int frames = 0;                // of the longest lane
  std::vector<int> lane_frames;  // [lanes of the shape]
};

// Returns what the kernel would: kReadFailed if the descriptor is not in memory, kBadBatch if a
// field is out of range or an address is not aligned.
CardError ReadDescriptor(const CardShape& shape, KernelMemory* memory, uint64_t address,
                         Descriptor* out);

// Returns false if the record is not in memory.
bool WriteStatus(KernelMemory* memory, uint64_t address, const CardStatus& status);

// Ends a batch as a kernel with this error does: writes the status record, if the kernel would
// leave one, and nothing else.
void EndWithError(KernelMemory* memory, uint64_t descriptor, CardError error);
// Flips a bit of the batch's outputs, after it has run.
void FlipABit(KernelMemory* memory, uint64_t descriptor);

}  // namespace ese::emu
