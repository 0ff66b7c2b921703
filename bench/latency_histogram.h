// SPDX-License-Identifier: Apache-2.0
// Percentiles of many durations in little memory.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "base/clock.h"

namespace ese {

// Buckets a 32nd of their octave wide: percentiles are at most 3 % above the truth.
class LatencyHistogram {
 public:
  void Add(Duration d) {
    ++buckets_[Index(d.count() < 0 ? 0 : static_cast<uint64_t>(d.count()))];
    ++count_;
  }
  int64_t count() const { return count_; }

  // The upper edge of the bucket that the quantile falls in, in milliseconds. REQUIRES: count() >
  // 0.
  double Ms(double quantile) const {
    auto left = static_cast<int64_t>(quantile * static_cast<double>(count_));
    for (size_t i = 0; i < buckets_.size(); ++i) {
      left -= buckets_[i];
      if (left < 0) return static_cast<double>(UpperEdge(i)) / 1e6;
    }
    return static_cast<double>(UpperEdge(buckets_.size() - 1)) / 1e6;
  }

 private:
  static constexpr int kBits = 5;

  static size_t Index(uint64_t ns) {
    const int shift = std::max(0, static_cast<int>(std::bit_width(ns)) - kBits - 1);
    return static_cast<size_t>(shift << kBits) + (ns >> shift);
  }
  static uint64_t UpperEdge(size_t index) {
    const auto shift = std::max<int64_t>(0, (static_cast<int64_t>(index) >> kBits) - 1);
    return (index - (shift << kBits) + 1) << shift;
  }

  std::array<int64_t, 64 << kBits> buckets_{};
  int64_t count_ = 0;
};

}  // namespace ese
