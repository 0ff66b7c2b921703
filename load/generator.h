// SPDX-License-Identifier: Apache-2.0
// Many streams at once against one server, or replicas of one, on few threads. It shares its
// machine with the server in demonstrations, so content is computed once, before the clock starts.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "load/latency_recorder.h"
#include "load/source.h"
#include "load/tally.h"

namespace ese {

enum class LoadPace {
  kRealTime,  // each stream on its own clock, at a random phase (from source.seed)
  kFlatOut,   // each keeps `window` chunks unanswered
  kIdle,      // each sends one chunk, and stays open
};

struct LoadOptions {
  std::vector<std::string> addresses = {"127.0.0.1:7700"};
  Duration timeout =
      std::chrono::seconds(10);  // of a connection, an acceptance, any chunk's answer
  std::string model;             // empty: the server's only one
  LoadSourceOptions source;
  int streams = 100;
  LoadPace pace = LoadPace::kRealTime;
  int window = 8;
  // Streams are opened over this time, which is not measured. 0: all at once, and the clock starts
  // once all are accepted.
  Duration ramp{0};
  Duration run_time = std::chrono::seconds(10);  // measured
  int threads = 1;
  int connections = 0;  // that the streams of a thread share; 0: one for every 64, at most 8

  std::string tenant;
  int priority = 0;
  bool return_units = false;
  bool return_posteriors = false;
  // Streams go on after a break, at the next of the addresses.
  bool resume = false;
  uint32_t checkpoint_every_frames = 0;
  Duration cut_every{0};  // cuts one connection each so long; 0: never
  // After the run: plays what each stream sent once more, undisturbed, and compares all posteriors.
  bool verify = false;
};

// A second of the run.
struct LoadSecond {
  int streams = 0;  // open
  int64_t frames = 0;
  Duration p50{0}, p99{0}, max{0};  // of the chunks answered in it
};

struct LoadReport {
  int streams = 0;    // asked for
  int accepted = 0;   // by the server
  int completed = 0;  // answered to the end, with OK
  int connections = 0;
  double seconds = 0;  // measured
  int64_t frames = 0;  // answered in that time
  double frames_per_s = 0;
  double realtime_streams = 0;  // that so many frames a second would serve
  int64_t chunks_due = 0;
  int64_t chunks_answered = 0;
  int64_t chunks_sent = 0;  // in all, the ramp's too; what was sent again not counted
  // See LoadTally. The share of `lag` in the latencies tells whether client or server was the
  // bottleneck; it is empty when flat out.
  LatencyHistogram latency, queue, compute, rest, lag, resume;
  std::vector<LoadSecond> timeline;
  int64_t cuts = 0;                                 // connections
  int64_t breaks = 0, resumed = 0;                  // calls
  LoadTally::Errors refused;                        // streams, see LoadTally
  std::map<std::string, LoadTally::Errors> errors;  // other streams by status code
  bool verified = false;
  int64_t frames_verified = 0;
  int differing = 0;     // streams whose posteriors differ from those of an undisturbed one
  bool stopped = false;  // before the time, by `stop`

  bool ok() const {
    return refused.count == 0 && errors.empty() && chunks_answered > 0 && differing == 0;
  }
};

// What streams are to send, as the first server that answers describes its model. Fails where
// RunLoad does.
absl::StatusOr<LoadSource> MakeSource(const LoadOptions& options);

// Runs the load. Prints a line a second to `progress`. Setting `stop` ends the run early, with the
// report so far. Returns in bounded time whatever the server does.
// Fails only if there is no run: no connection, no such model, no usable recording.
absl::StatusOr<LoadReport> RunLoad(const LoadOptions& options, const std::atomic<bool>& stop,
                                   std::ostream& progress);

}  // namespace ese
