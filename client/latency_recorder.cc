#include "client/latency_recorder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ese {

void LatencyRecorder::Record(Duration value) {
  static_assert(Bucket((uint64_t{1} << 63) - 1) == kBuckets - 1);
  const int64_t ns = std::max<int64_t>(value.count(), 0);
  counts_[Bucket(static_cast<uint64_t>(ns))].fetch_add(1, std::memory_order_relaxed);
  int64_t greatest = max_.load(std::memory_order_relaxed);
  while (greatest < ns && !max_.compare_exchange_weak(greatest, ns, std::memory_order_relaxed)) {
  }
}

int64_t LatencyRecorder::count() const {
  int64_t sum = 0;
  for (const std::atomic<int64_t>& count : counts_) sum += count.load(std::memory_order_relaxed);
  return sum;
}

Duration LatencyRecorder::Percentile(double percent) const {
  const int64_t total = count();
  const auto rank = std::max<int64_t>(
      1, static_cast<int64_t>(std::ceil(percent / 100.0 * static_cast<double>(total))));
  if (total == 0) return Duration(0);
  if (rank >= total) return max();
  int64_t seen = 0;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += counts_[bucket].load(std::memory_order_relaxed);
    // The middle of the last bucket may lie above the greatest value in it.
    if (seen >= rank) return std::min(Duration(Middle(bucket)), max());
  }
  return max();
}

}  // namespace ese
