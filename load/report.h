// SPDX-License-Identifier: Apache-2.0
// What a load test found.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/latency_histogram.h"
#include "load/tally.h"

namespace ese {

// One second of the run.
struct LoadSecond {
  int streams = 0;  // open
  int64_t frames = 0;
  Duration p50{0}, p99{0}, max{0};  // latencies of the chunks answered in this second
};

struct LoadReport {
  int streams = 0;    // streams asked for
  int accepted = 0;   // streams that the server accepted
  int completed = 0;  // streams answered to the end, with OK
  int connections = 0;
  double seconds = 0;  // measured
  int64_t frames = 0;  // answered in that time
  double frames_per_s = 0;
  double realtime_streams = 0;  // the number of live streams that frames_per_s is enough for
  int64_t chunks_due = 0;
  int64_t chunks_answered = 0;
  int64_t chunks_sent = 0;  // including the ramp, but not counting chunks that were sent again
  // See LoadTally. If `lag` is a large part of `latency`, the client was the bottleneck and not the
  // server. `lag` is empty when flat out.
  LatencyHistogram latency, queue, compute, rest, lag, resume;
  std::vector<LoadSecond> timeline;
  int64_t cuts = 0;                                 // connections
  int64_t breaks = 0, resumed = 0;                  // calls
  LoadTally::Errors refused;                        // streams, see LoadTally::refused
  std::map<std::string, LoadTally::Errors> errors;  // other failed streams by status code
  bool verified = false;
  int64_t frames_verified = 0;
  int differing = 0;   // streams whose posteriors differ from those of an undisturbed stream
  int unverified = 0;  // streams without an undisturbed one to compare with, because none succeeded
  bool stopped = false;  // the run was ended early by `stop`

  bool ok() const {
    return refused.count == 0 && errors.empty() && chunks_answered > 0 && differing == 0 &&
           unverified == 0;
  }
};

}  // namespace ese
