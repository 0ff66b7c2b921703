// SPDX-License-Identifier: Apache-2.0
// Prints the scheduler's figures, one line of JSON each: what scheduling costs, and how long frames
// wait as the load grows. docs/scheduling.md describes the simulation.
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "bench/figures.h"
#include "bench/scheduler_simulation.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

double Ms(const LatencyHistogram& histogram, double percent) {
  return 1000 * ToSeconds(histogram.Percentile(percent));
}

void Summarise(const std::string& what, const SimulationResult& r) {
  std::fprintf(
      stderr,
      "%-22s wait ms p50 %6.2f p99 %7.2f p99.9 %7.2f   latency ms p50 %6.2f p99 %7.2f   "
      "%4.1f lanes, %5.1f frames per batch   %4.0f ns per frame, %4.0f per batch and lane\n",
      what.c_str(), Ms(r.wait, 50), Ms(r.wait, 99), Ms(r.wait, 99.9), Ms(r.latency, 50),
      Ms(r.latency, 99), 1.0 * r.lanes / r.batches, 1.0 * r.frames / r.batches, r.ns_per_frame(),
      r.ns_per_frame() * r.frames / r.lanes);
}

void PrintLoads() {
  for (const double load : {0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1}) {
    const SimulationResult r = Simulate({.load = load, .scheduler = {.max_load = 0}});
    const std::string suffix = absl::StrCat(".", load);
    Summarise(absl::StrCat("load ", load), r);
    PrintFigure("scheduler.p50_wait_ms" + suffix, Ms(r.wait, 50), "ms");
    PrintFigure("scheduler.p99_wait_ms" + suffix, Ms(r.wait, 99), "ms");
    PrintFigure("scheduler.p999_wait_ms" + suffix, Ms(r.wait, 99.9), "ms");
    PrintFigure("scheduler.p99_latency_ms" + suffix, Ms(r.latency, 99), "ms");
    PrintFigure("scheduler.lane_fill" + suffix, 1.0 * r.lanes / r.lanes_offered, "of lanes");
    PrintFigure("scheduler.stream_wait_p99_over_p01" + suffix,
                r.stream_wait_p99_ms / r.stream_wait_p01_ms, "ratio");
    PrintFigure("scheduler.stream_errors" + suffix, static_cast<double>(r.errors), "streams");
    if (load == 0.8) PrintFigure("scheduler.ns_per_frame", r.ns_per_frame(), "ns");
  }
}

// Every frame is pushed alone.
void PrintSingleFrames() {
  const SimulationResult r = Simulate({.streams = {.count = 10'000, .frames_per_chunk = 1},
                                       .measured = std::chrono::seconds(1),
                                       .faults = false,
                                       .scheduler = {.max_load = 0}});
  Summarise("single frames", r);
  PrintFigure("scheduler.ns_per_frame.single", r.ns_per_frame(), "ns");
}

// A third more streams than the channels can serve, with the default limits.
void PrintAdmission() {
  const SimulationOptions options = {.load = 1.3, .faults = false, .scheduler = {}};
  const SimulationResult r = Simulate(options);
  Summarise("admission at 1.3", r);
  PrintFigure("scheduler.admitted_load",
              options.load * (1 - 1.0 * r.refused / options.streams.count), "of capacity");
  PrintFigure("scheduler.p99_wait_ms.admission", Ms(r.wait, 99), "ms");
}

}  // namespace
}  // namespace ese

int main() {
  spdlog::set_default_logger(spdlog::stderr_logger_st("ese-bench-scheduler"));  // stdout is figures
  ese::PrintLoads();
  ese::PrintSingleFrames();
  ese::PrintAdmission();
}
