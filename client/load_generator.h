// Many streams at once against one server, on few threads: one that keeps the streams' clocks, and
// gRPC's own (between 2 and 16). It shares its machine with the server in demonstrations, so
// content is computed once, before the clock starts.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/load_source.h"
#include "client/load_stream.h"
#include "client/speech_client.h"

namespace ese {

struct LoadOptions {
  ClientOptions server;  // its timeout also bounds how long a chunk may stay unanswered
  std::string model;     // empty: the server's only one
  LoadSourceOptions source;
  int streams = 100;
  Duration run_time = std::chrono::seconds(10);  // the clock starts once all streams are accepted
  // False: each stream sends on its own clock, at a random phase within a chunk's time (from
  // source.seed). True: each keeps `window` chunks unanswered.
  bool flat_out = false;
  int window = 8;
  int connections = 0;  // that the streams share; 0: one for every 64 streams, at most 8
};

struct LoadReport {
  int streams = 0;    // asked for
  int accepted = 0;   // by the server
  int completed = 0;  // answered to the end, with OK
  int connections = 0;
  double seconds = 0;  // from the start of the clock to the end of sending
  int64_t frames = 0;  // answered in that time
  double frames_per_s = 0;
  double realtime_streams = 0;  // that so many frames a second would serve
  int64_t chunks_due = 0;
  int64_t chunks_answered = 0;
  // From the time at which a chunk was due (not sent: no coordinated omission) to the first
  // response whose chunks_done covers it; over the answered chunks.
  Duration p50{0}, p95{0}, p99{0}, max{0};
  // How late the generator itself was, which the latencies contain; the share of it in p99 tells
  // whether client or server was the bottleneck. 0 when flat out.
  Duration lag_p99{0};
  std::map<std::string, LoadTally::Errors> errors;  // streams by status code
  bool stopped = false;                             // before the time, by `stop`

  bool ok() const { return errors.empty() && chunks_answered > 0; }
};

// Runs the load. Prints a line a second to `progress`. Setting `stop` ends the run early, with the
// report so far. Returns in bounded time whatever the server does: run_time + 4 * timeout at most.
// Fails only if there is no run: no connection, no such model, no usable recording.
absl::StatusOr<LoadReport> RunLoad(const LoadOptions& options, const std::atomic<bool>& stop,
                                   std::ostream& progress);

}  // namespace ese
