// SPDX-License-Identifier: Apache-2.0
#include "load/latency_recorder.h"

#include <algorithm>
#include <cmath>

namespace ese {

void LatencyRecorder::Record(Duration value) {
  static_assert(Bucket((uint64_t{1} << 63) - 1) == kBuckets - 1);
  const int64_t ns = std::max<int64_t>(value.count(), 0);
  counts_[Bucket(static_cast<uint64_t>(ns))].fetch_add(1, std::memory_order_relaxed);
  int64_t greatest = max_.load(std::memory_order_relaxed);
  while (greatest < ns && !max_.compare_exchange_weak(greatest, ns, std::memory_order_relaxed)) {
  }
}

LatencyHistogram LatencyRecorder::Snapshot() const {
  LatencyHistogram histogram;
  // The maximum last: at least that of every value counted.
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    const int64_t count = counts_[bucket].load(std::memory_order_relaxed);
    if (count == 0) continue;
    histogram.counts_.resize(bucket + 1);
    histogram.counts_[bucket] = count;
    histogram.count_ += count;
  }
  histogram.max_ = Duration(max_.load(std::memory_order_relaxed));
  return histogram;
}

int64_t LatencyHistogram::Rank(double percent) const {
  const auto rank = static_cast<int64_t>(std::ceil(percent / 100 * static_cast<double>(count_)));
  return std::clamp<int64_t>(rank, std::min<int64_t>(1, count_), count_);
}

Duration LatencyHistogram::Percentile(double percent) const {
  const int64_t rank = Rank(percent);
  if (rank >= count_) return max_;
  int64_t seen = 0;
  for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    seen += counts_[bucket];
    // The middle of the last bucket may lie above the greatest value in it.
    if (seen >= rank) return std::min(Duration(LatencyRecorder::Middle(bucket)), max_);
  }
  return max_;
}

Duration LatencyHistogram::Mean() const {
  double sum = 0;
  for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    sum +=
        static_cast<double>(counts_[bucket]) * static_cast<double>(LatencyRecorder::Middle(bucket));
  }
  return Duration(count_ == 0 ? 0 : std::llround(sum / static_cast<double>(count_)));
}

LatencyHistogram LatencyHistogram::Since(const LatencyHistogram& earlier) const {
  LatencyHistogram since;
  for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    const int64_t before = bucket < earlier.counts_.size() ? earlier.counts_[bucket] : 0;
    if (counts_[bucket] == before) continue;
    since.counts_.resize(bucket + 1);
    since.counts_[bucket] = counts_[bucket] - before;
    since.count_ += since.counts_[bucket];
    since.max_ = std::min(max_, Duration(LatencyRecorder::Middle(bucket)));
  }
  return since;
}

}  // namespace ese
