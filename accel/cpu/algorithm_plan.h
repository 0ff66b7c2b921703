// SPDX-License-Identifier: Apache-2.0
// Which of the two algorithms computes a step: columns or look-up (see kernels/kernel.h).
#pragma once

#include <array>
#include <bitset>
#include <memory>
#include <string>

#include "accel/cpu/kernels/kernel.h"
#include "accel/cpu/packed_model.h"

namespace ese {

enum class Algorithm { kColumns, kLookup };

// The time of a step, in microseconds.
struct AlgorithmCosts {
  static constexpr std::array<int, 3> kGroups = {1, kLookupLanes / 2, kLookupLanes};
  static constexpr std::array<int, 3> kWidths = {16, 32, 64};
  std::array<double, 3> lookup = {};   // for a group of kGroups[i] lanes
  std::array<double, 3> columns = {};  // for vectors of kWidths[i] lanes
};

// The algorithm for each number of lanes. Immutable.
class AlgorithmPlan {
 public:
  // Uses look-up for up to `lanes` lanes and columns for more.
  static AlgorithmPlan LookupUpTo(int lanes);
  // Uses the algorithm that costs less for each number of lanes, and columns if both cost the same.
  explicit AlgorithmPlan(const AlgorithmCosts& costs);
  // Measures the costs on this thread now, which takes tens of milliseconds. Returns at once if
  // the kernel has only the columns algorithm.
  static AlgorithmPlan Measure(const std::shared_ptr<const PackedModel>& model,
                               const Kernel* kernel);

  // REQUIRES: 1 <= lanes <= kMaxLanes.
  Algorithm For(int lanes) const {
    return lookup_[lanes] ? Algorithm::kLookup : Algorithm::kColumns;
  }
  // The numbers of lanes that use look-up, such as "1-48" or "none".
  std::string LookupLanes() const;

 private:
  AlgorithmPlan() = default;

  std::bitset<kMaxLanes + 1> lookup_;  // bit n: look-up for n lanes
};

}  // namespace ese
