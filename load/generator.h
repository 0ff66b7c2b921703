// SPDX-License-Identifier: Apache-2.0
// Runs many streams at once against one server or several replicas, on few threads. A demonstration
// may run it on the same machine as the server, so all content is computed before the clock starts.
#pragma once

#include <atomic>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/access.h"
#include "load/report.h"
#include "load/source.h"

namespace ese {

enum class LoadPace {
  kRealTime,  // each stream sends on its own clock, with a random phase (from source.seed)
  kFlatOut,   // each stream keeps `window` chunks unanswered
  kIdle,      // each stream sends one chunk and stays open
};

struct LoadOptions {
  std::vector<std::string> addresses = {"127.0.0.1:7700"};
  // The longest wait for a connection, for the acceptance of a stream, and for a chunk's answer.
  Duration timeout = std::chrono::seconds(10);
  AccessOptions access;  // breaks (cut_every, RunVanish) need connections without TLS
  std::string model;     // empty: the server's only model
  LoadSourceOptions source;
  int streams = 100;
  LoadPace pace = LoadPace::kRealTime;
  int window = 8;
  // Streams are opened over this time, which is not measured. 0: all are opened at once, and the
  // clock starts when all have been accepted.
  Duration ramp{0};
  Duration run_time = std::chrono::seconds(10);  // the measured time
  int threads = 1;
  int connections = 0;  // per thread, shared by its streams; 0: one for every 64, at most 8

  std::string tenant;
  int priority = 0;
  bool return_units = false;
  bool return_posteriors = false;
  // Streams continue after a break, on the next of the addresses.
  bool resume = false;
  uint32_t checkpoint_every_frames = 0;
  Duration cut_every{0};  // cuts one connection at this interval; 0: never
  // After the run, sends the streams' content once more without breaks, and compares all
  // posteriors.
  bool verify = false;
};

// Makes the content for the streams, for the model that the first reachable server describes. Its
// errors are those of RunLoad.
absl::StatusOr<LoadSource> MakeSource(const LoadOptions& options);

// Runs the load and prints a line to `progress` every second. Setting `stop` ends the run early
// with the report so far. Returns in bounded time whatever the server does. Fails only if no run is
// possible: there is no connection, no such model, or no usable recording.
absl::StatusOr<LoadReport> RunLoad(const LoadOptions& options, const std::atomic<bool>& stop,
                                   std::ostream& progress);

}  // namespace ese
