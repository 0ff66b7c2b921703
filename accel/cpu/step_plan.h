// SPDX-License-Identifier: Apache-2.0
// Which way steps of so many lanes go: by look-up or in columns of lanes.
#pragma once

#include <array>
#include <bitset>
#include <memory>
#include <string>

#include "accel/cpu/kernel.h"
#include "accel/cpu/packed_model.h"

namespace ese {

// What a step takes, in microseconds.
struct StepCosts {
  static constexpr std::array<int, 3> kGroups = {1, kLookupLanes / 2, kLookupLanes};
  static constexpr std::array<int, 3> kWidths = {16, 32, 64};
  std::array<double, 3> lookup = {};   // of a group of so many lanes
  std::array<double, 3> columns = {};  // at such a width
};

// Immutable.
class StepPlan {
 public:
  // Look-up up to so many lanes.
  static StepPlan LookUpTo(int lanes);
  // Whatever costs less for each number of lanes.
  explicit StepPlan(const StepCosts& costs);
  // By what steps take on this thread now: tens of milliseconds of work, unless the kernel knows
  // only one way.
  static StepPlan Measure(const std::shared_ptr<const PackedModel>& model,
                          const StepKernel* kernel);

  // REQUIRES: 1 <= lanes <= kMaxLanes.
  bool ByLookup(int lanes) const { return lookup_[lanes]; }
  // Such as "1-48".
  std::string LookupLanes() const;

 private:
  StepPlan() = default;

  std::bitset<kMaxLanes + 1> lookup_;
};

}  // namespace ese
