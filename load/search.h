// SPDX-License-Identifier: Apache-2.0
// The most streams that a server holds within a latency.
#pragma once

#include <atomic>
#include <ostream>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "load/generator.h"

namespace ese {

// Which numbers of streams to try: doubles from the first until one does not hold (or halves until
// one does), then bisects to within 3 % (or a stream). One that does not hold is tried once more,
// as a hiccup of the machine is not the server's limit.
class StreamSearch {
 public:
  // REQUIRES: 1 <= first <= most
  StreamSearch(int first, int most) : next_(first), most_(most) {}

  bool done() const { return next_ == 0; }
  int next() const { return next_; }
  void Note(bool held);
  int best() const { return best_; }  // 0: none held

 private:
  void Fail();
  void Bisect();

  int next_;
  const int most_;
  int best_ = 0;
  int worst_ = 0;  // the least that did not hold; 0: none yet
  bool second_try_ = false;
};

struct SearchStep {
  int streams;
  Duration p99;
  int64_t failed;  // streams
  bool held;
};

struct SearchReport {
  std::vector<SearchStep> steps;
  int best = 0;
  LoadReport at_best;  // of the last run with so many
};

// Each step is a run of its own with options.streams replaced; it holds if no stream failed, every
// chunk was answered, and the p99 of the latency is at most `p99_limit`.
absl::StatusOr<SearchReport> FindMostStreams(LoadOptions options, Duration p99_limit,
                                             const std::atomic<bool>& stop, std::ostream& progress);

}  // namespace ese
