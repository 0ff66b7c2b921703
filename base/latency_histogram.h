// SPDX-License-Identifier: Apache-2.0
// Percentiles of any number of durations in bounded memory.
//
// As in HdrHistogram, the buckets have logarithmic widths. Values below 128 ns have a bucket each.
// Each power of two above that is cut into 128 equal buckets, so a bucket is at most 1/128 = 0.78 %
// as wide as the values in it. The middle of the bucket is reported, which is at most 0.4 % away
// from every value in it. The greatest value is kept exactly.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace ese {

// A value type for one thread; LatencyRecorder is the thread-safe form.
class LatencyHistogram {
 public:
  LatencyHistogram() = default;

  // A negative value counts as 0.
  void Add(Duration value);

  int64_t count() const { return count_; }
  // The nearest-rank percentile: the smallest value that at least `percent` of all values do not
  // exceed. Returns 0 if there are no values. REQUIRES: 0 < percent <= 100
  Duration Percentile(double percent) const;
  // The number of values that Percentile(percent) covers.
  int64_t Rank(double percent) const;
  Duration max() const { return max_; }
  Duration Mean() const;

  // The values added since `earlier`, which must be an earlier copy of this histogram. Their max()
  // is not exact: it is the middle of their highest bucket.
  LatencyHistogram Since(const LatencyHistogram& earlier) const;

 private:
  friend class LatencyRecorder;

  static constexpr int kSubBits = 7;
  static constexpr uint64_t kSub = uint64_t{1} << kSubBits;
  // Values are below 2^63. Besides the exact buckets there are 63 - kSubBits powers of two.
  static constexpr size_t kBuckets = kSub * (63 - kSubBits + 1);

  static constexpr size_t Bucket(uint64_t value) {
    if (value < kSub) return value;
    const int shift = std::bit_width(value) - (kSubBits + 1);
    return (static_cast<size_t>(shift) + 1) * kSub + ((value >> shift) - kSub);
  }
  static constexpr uint64_t Middle(size_t bucket) {
    if (bucket < kSub) return bucket;
    const size_t shift = bucket / kSub - 1;
    return ((kSub + bucket % kSub) << shift) + ((uint64_t{1} << shift) >> 1);
  }

  std::vector<int64_t> counts_;  // one per bucket, up to the last that is not 0
  int64_t count_ = 0;
  Duration max_{0};
};

// Thread-safe. Recording is wait-free, except for the update of the maximum.
class LatencyRecorder {
 public:
  // A negative value counts as 0.
  void Record(Duration value);
  LatencyHistogram Snapshot() const;

 private:
  std::array<std::atomic<int64_t>, LatencyHistogram::kBuckets> counts_{};
  std::atomic<int64_t> max_{0};
};

}  // namespace ese
