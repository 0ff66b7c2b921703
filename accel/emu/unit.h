// SPDX-License-Identifier: Apache-2.0
// What executes the batches of one compute unit: ese_channel in software, or its verilated RTL.
#pragma once

#include <cstdint>

namespace ese::emu {

// The card's memory during one batch. What was looked at stays, even if the host frees it.
class KernelMemory {
 public:
  // `size` bytes from `address` on; null if they are not there.
  virtual uint8_t* At(uint64_t address, uint64_t size) = 0;
  // A number that changes whenever the host writes to what lies there, and is nothing else's.
  virtual uint64_t Version(uint64_t address) = 0;

 protected:
  ~KernelMemory() = default;
};

struct UnitWork {
  int64_t cycles = 0;  // that the kernel takes
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
