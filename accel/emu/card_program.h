// SPDX-License-Identifier: Apache-2.0
// A packed model out of a card's memory, made ready for the CPU kernels.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "accel/card/card_model.h"
#include "accel/cpu/packed_model.h"
#include "accel/cpu/algorithm_plan.h"
#include "accel/emu/unit.h"

namespace ese::emu {

// Immutable but for what it remembers; shared by all units of all cards. Thread-safe.
class CardProgram : public std::enable_shared_from_this<CardProgram> {
 public:
  // The packed model at `address`. Equal bytes make the same program. Errors: those that the kernel
  // would end with, and kBadModel for what no model packs to.
  static CardError Load(const CardShape& shape, KernelMemory* memory, uint64_t address,
                        std::shared_ptr<const CardProgram>* out);

  // Without matrices. Every PE's row of an output pass is a unit of its own.
  const CardModel& card() const { return card_; }
  const std::shared_ptr<const PackedModel>& packed() const { return packed_; }
  const Kernel* kernel() const { return kernel_; }
  const AlgorithmPlan& plan() const { return plan_; }
  // What BatchCycles says.
  int64_t Cycles(int lanes, int frames) const;

 private:
  CardProgram(CardModel card, std::shared_ptr<const PackedModel> packed, const Kernel* kernel);
  static CardError Make(CardModel card, std::shared_ptr<const CardProgram>* out);

  const CardModel card_;
  const std::shared_ptr<const PackedModel> packed_;
  const Kernel* const kernel_;
  const AlgorithmPlan plan_;
  mutable std::mutex mutex_;
  mutable std::map<std::pair<int, int>, int64_t> cycles_;  // guarded by mutex_
};

}  // namespace ese::emu
