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

#include "base/clock.h"

namespace ese {

// Thread-safe; recording is wait-free but for the maximum.
class LatencyRecorder {
 public:
  // A negative value counts as 0.
  void Record(Duration value);

  int64_t count() const;
  // The value that the share `percent` of all values does not exceed (nearest rank); 0 without
  // values. REQUIRES: 0 < percent <= 100
  Duration Percentile(double percent) const;
  Duration max() const { return Duration(max_.load(std::memory_order_relaxed)); }

 private:
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
