// SPDX-License-Identifier: Apache-2.0
// `ese-client plan`: how many servers a number of live streams needs, from measurements of a
// server.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/console.h"

namespace ese {

struct PlanOptions {
  int64_t streams = 0;
  double p99_ms = 30;
  // Reports of `ese-load --find-max --report FILE` against one server of the kind that is planned.
  std::vector<std::string> measured;
  double utilisation = 0.6;  // the share of the measured streams that a server gets
  int cards = 0;             // of each server
};

// The most streams that a server held with a p99 within the limit.
struct MeasuredServer {
  std::string path;  // of the report
  int64_t streams;
  double p99_limit_ms;
};

// Reads a report. Returns the system's error, or INVALID_ARGUMENT if it is no report of a search,
// or of one that found no number of streams that held.
absl::StatusOr<MeasuredServer> ReadMeasuredServer(const std::string& path);

// Returns the measurement with the most streams among those whose limit is at most `p99_ms`,
// because latency is never extrapolated. INVALID_ARGUMENT: there is none.
absl::StatusOr<MeasuredServer> ChooseMeasurement(const std::vector<MeasuredServer>& measured,
                                                 double p99_ms);

// Returns the smallest number of servers of which none gets more than its share.
// REQUIRES: streams >= 1, server.streams >= 1, 0 < utilisation <= 1
int64_t ServersFor(int64_t streams, const MeasuredServer& server, double utilisation);

// Prints the answer.
absl::Status RunPlan(const PlanOptions& options, Console& console);

}  // namespace ese
