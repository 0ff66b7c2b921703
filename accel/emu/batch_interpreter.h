// What the ese_channel kernel does with a descriptor, on the emulated card's memory: the packed
// model is decoded pass by pass (docs/hardware.md) and computed with the functions of
// model/arithmetic.h.
#pragma once

#include <cstdint>
#include <functional>

#include "accel/rtl/card_model.h"

namespace ese::emu {

// The bytes of the device's memory from `address` on, or null if `size` of them are not there.
using MemoryView = std::function<uint8_t*(uint64_t address, uint64_t size)>;

// Writes states, outputs and the status record. `cycles` tells how long the kernel would take.
CardError RunBatch(const CardShape& shape, const MemoryView& memory, uint64_t descriptor,
                   const std::function<int64_t(const CardModel&, int lanes, int frames)>& cycles);

// What a faulty kernel does instead: no more than its error code in the status record, and that
// only of those errors that leave one (docs/hardware.md).
void EndWithError(const MemoryView& memory, uint64_t descriptor, CardError error);
// After the batch: flips a bit of its outputs.
void FlipABit(const MemoryView& memory, uint64_t descriptor);

}  // namespace ese::emu
