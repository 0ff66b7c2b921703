// SPDX-License-Identifier: Apache-2.0
// Finds the largest number of streams that a server serves within a latency limit.
#pragma once

#include <atomic>
#include <ostream>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "load/generator.h"

namespace ese {

// Chooses the numbers of streams to try. Doubles from the first number until one does not hold, or
// halves until one does, and then bisects to within 3 % or one stream. A number that does not hold
// is tried once more, because a hiccup of the machine is not the server's limit.
class StreamSearch {
 public:
  // REQUIRES: 1 <= first <= most
  StreamSearch(int first, int most) : next_(first), most_(most) {}

  bool done() const { return next_ == 0; }
  int next() const { return next_; }  // 0: done
  // Reports whether the server held next() streams, and chooses the next number.
  void Note(bool held);
  int best() const { return best_; }  // 0: none held

 private:
  void Fail();
  void Bisect();

  int next_;
  const int most_;
  int best_ = 0;
  int worst_ = 0;  // the smallest number that did not hold; 0: none yet
  bool second_try_ = false;
};

// One run of a search.
struct SearchRun {
  int streams;
  Duration p99;
  int64_t failed;  // streams
  bool held;
};

struct SearchReport {
  Duration p99_limit;
  std::vector<SearchRun> runs;
  int best = 0;
  LoadReport at_best;  // of the last run that held
};

// Runs the load again and again with different values of options.streams. A run holds if no stream
// failed, every chunk was answered, and the p99 latency is at most `p99_limit`.
absl::StatusOr<SearchReport> FindMostStreams(LoadOptions options, Duration p99_limit,
                                             const std::atomic<bool>& stop, std::ostream& progress);

}  // namespace ese
