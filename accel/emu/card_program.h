// SPDX-License-Identifier: Apache-2.0
// A packed model from a card's memory, prepared for the CPU kernels.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "accel/card/card_model.h"
#include "accel/cpu/algorithm_plan.h"
#include "accel/cpu/packed_model.h"
#include "accel/emu/unit.h"
#include "base/mutex.h"

namespace ese::emu {

// Immutable except for a cache. All units of all cards share one program for equal models.
// Thread-safe.
class CardProgram : public std::enable_shared_from_this<CardProgram> {
 public:
  // Loads the packed model at `address`; equal bytes give the same program. Returns the error with
  // which the kernel would end, and kBadModel for bytes to which no model packs.
  static CardError Load(const CardShape& shape, KernelMemory* memory, uint64_t address,
                        std::shared_ptr<const CardProgram>* out);

  // The passes have no matrices, and every row of every PE of an output pass is a unit.
  const CardModel& card() const { return card_; }
  const std::shared_ptr<const PackedModel>& packed() const { return packed_; }
  const Kernel* kernel() const { return kernel_; }
  const AlgorithmPlan& plan() const { return plan_; }
  // BatchCycles for such a batch.
  int64_t Cycles(int lanes, int frames) const;

 private:
  CardProgram(CardModel card, std::shared_ptr<const PackedModel> packed, const Kernel* kernel);
  static CardError Make(CardModel card, std::shared_ptr<const CardProgram>* out);

  const CardModel card_;
  const std::shared_ptr<const PackedModel> packed_;
  const Kernel* const kernel_;
  const AlgorithmPlan plan_;
  mutable Mutex mutex_;
  // Keyed by lanes and frames.
  mutable std::map<std::pair<int, int>, int64_t> cycles_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese::emu
