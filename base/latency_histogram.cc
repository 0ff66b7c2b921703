// SPDX-License-Identifier: Apache-2.0
#include "base/latency_histogram.h"

#include <algorithm>
#include <cmath>

namespace ese {

void LatencyHistogram::Add(Duration value) {
  static_assert(Bucket((uint64_t{1} << 63) - 1) == kBuckets - 1);
  value = std::max(value, Duration(0));
  const size_t bucket = Bucket(static_cast<uint64_t>(value.count()));
  if (bucket >= counts_.size()) counts_.resize(bucket + 1);
  ++counts_[bucket];
  ++count_;
  max_ = std::max(max_, value);
}

void LatencyRecorder::Record(Duration value) {
  const int64_t ns = std::max<int64_t>(value.count(), 0);
  counts_[LatencyHistogram::Bucket(static_cast<uint64_t>(ns))].fetch_add(1,
                                                                         std::memory_order_relaxed);
  int64_t greatest = max_.load(std::memory_order_relaxed);
  while (greatest < ns && !max_.compare_exchange_weak(greatest, ns, std::memory_order_relaxed)) {
  }
}

LatencyHistogram LatencyRecorder::Snapshot() const {
  LatencyHistogram histogram;
  for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    const int64_t count = counts_[bucket].load(std::memory_order_relaxed);
    if (count == 0) continue;
    histogram.counts_.resize(bucket + 1);
    histogram.counts_[bucket] = count;
    histogram.count_ += count;
  }
  // Read last, so that it is at least as great as every value counted above.
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
    if (seen >= rank) return std::min(Duration(Middle(bucket)), max_);
  }
  return max_;
}

Duration LatencyHistogram::Mean() const {
  double sum = 0;
  for (size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    sum += static_cast<double>(counts_[bucket]) * static_cast<double>(Middle(bucket));
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
    since.max_ = std::min(max_, Duration(Middle(bucket)));
  }
  return since;
}

}  // namespace ese
