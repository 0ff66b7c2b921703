// SPDX-License-Identifier: Apache-2.0
#include "load/search.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "base/status.h"
#include "client/seconds.h"

namespace ese {
namespace {

constexpr int kMostStreams = 1000000;
constexpr int kResolution = 33;  // bisect to a 33rd, which is 3 %

}  // namespace

void StreamSearch::Note(bool held) {
  if (!held && !second_try_) {
    second_try_ = true;
    return;
  }
  second_try_ = false;
  if (!held) return Fail();
  best_ = next_;
  if (worst_ == 0) {
    next_ = best_ == most_ ? 0 : static_cast<int>(std::min<int64_t>(2ll * best_, most_));
  } else {
    Bisect();
  }
}

void StreamSearch::Fail() {
  worst_ = next_;
  if (best_ == 0) {
    next_ = worst_ / 2;
  } else {
    Bisect();
  }
}

void StreamSearch::Bisect() {
  const int gap = worst_ - best_;
  next_ = gap <= std::max(1, best_ / kResolution) ? 0 : best_ + gap / 2;
}

absl::StatusOr<SearchReport> FindMostStreams(LoadOptions options, Duration p99_limit,
                                             const std::atomic<bool>& stop,
                                             std::ostream& progress) {
  SearchReport report;
  report.p99_limit = p99_limit;
  for (StreamSearch search(options.streams, kMostStreams); !search.done() && !stop;) {
    options.streams = search.next();
    ESE_ASSIGN_OR_RETURN(LoadReport run, RunLoad(options, stop, progress));
    if (run.stopped) break;
    const Duration p99 = run.latency.Percentile(99);
    const bool held = run.ok() && run.chunks_answered == run.chunks_due && p99 <= p99_limit;
    report.runs.push_back({options.streams, p99, run.streams - run.completed, held});
    progress << absl::StreamFormat("%d streams: p99 %.2f ms, %d failed: %s\n", options.streams,
                                   Milliseconds(p99), report.runs.back().failed,
                                   held ? "held" : "not held")
             << std::flush;
    search.Note(held);
    report.best = search.best();
    if (held) report.at_best = std::move(run);
  }
  return report;
}

}  // namespace ese
