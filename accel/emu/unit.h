// SPDX-License-Identifier: Apache-2.0
// Executes the batches of one compute unit: the ese_channel kernel in software, or its verilated
// RTL.
#pragma once

#include <cstdint>

namespace ese::emu {

// The card's memory during one batch. Memory that was accessed stays valid even if the host frees
// it.
class KernelMemory {
 public:
  // Returns the `size` bytes from `address` on, or null if they are not all in one buffer.
  virtual uint8_t* At(uint64_t address, uint64_t size) = 0;
  // Returns a number, unique to the buffer at `address`, that changes whenever the host writes to
  // it.
  virtual uint64_t Version(uint64_t address) = 0;

 protected:
  ~KernelMemory() = default;
};

struct UnitWork {
  int64_t cycles = 0;  // clock cycles that the kernel takes; 0 after an error
  double products = 0;
};

// Not thread-safe.
class Unit {
 public:
  virtual ~Unit() = default;
  // Writes states, outputs and the status record.
  virtual UnitWork Run(KernelMemory* memory, uint64_t descriptor) = 0;
};

}  // namespace ese::emu
