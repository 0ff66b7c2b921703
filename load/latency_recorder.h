// SPDX-License-Identifier: Apache-2.0
// Percentiles of latencies in bounded memory, whatever their number.
//
// Counts in buckets of logarithmic width, as HdrHistogram does: values below 128 ns are exact, and
// each power of two above is cut into 128 equal buckets, so a bucket is at most 1/128 = 0.78 % of
// its values wide. Its middle is reported: at most 0.4 % from every value in it. The greatest value
// is kept exactly.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace ese {

// What a recorder had seen at some time.
class LatencyHistogram {
 public:
  LatencyHistogram() = default;

  int64_t count() const { return count_; }
  // The value that the share `percent` of all values does not exceed (nearest rank); 0 without
  // values. REQUIRES: 0 < percent <= 100
  Duration Percentile(double percent) const;
  // The number of values that Percentile(percent) covers.
  int64_t Rank(double percent) const;
  Duration max() const { return max_; }
  Duration Mean() const;

  // The values seen since `earlier`, a histogram of the same recorder; their max() is only the
  // upper end of its bucket.
  LatencyHistogram Since(const LatencyHistogram& earlier) const;

 private:
  friend class LatencyRecorder;

  std::vector<int64_t> counts_;  // by bucket, up to the last that is not 0
  int64_t count_ = 0;
  Duration max_{0};
};

// Thread-safe; recording is wait-free but for the maximum.
class LatencyRecorder {
 public:
  // A negative value counts as 0.
  void Record(Duration value);
  LatencyHistogram Snapshot() const;

 private:
  friend class LatencyHistogram;

  static constexpr int kSubBits = 7;
  static constexpr uint64_t kSub = uint64_t{1} << kSubBits;
  // Values are below 2^63: exponents 0..63 - (kSubBits + 1) above the exact ones.
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

  std::array<std::atomic<int64_t>, kBuckets> counts_{};
  std::atomic<int64_t> max_{0};
};

}  // namespace ese
