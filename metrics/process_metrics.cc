// SPDX-License-Identifier: Apache-2.0
#include "metrics/process_metrics.h"

#include <time.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace ese {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily Family(const char* name, const char* help, MetricType type, double value) {
  prometheus::ClientMetric metric;
  if (type == MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return {name, help, type, {metric}};
}

double CpuSeconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

double ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double OpenFds() {
  std::error_code error;
  const std::filesystem::directory_iterator fds("/proc/self/fd", error);
  // One of them is the descriptor of this iteration.
  return error ? 0 : static_cast<double>(std::distance(begin(fds), end(fds))) - 1;
}

// Field 22 of /proc/self/stat, in ticks since the machine's start, which is btime in /proc/stat;
// see proc(5).
double StartSeconds() {
  std::ifstream stat("/proc/self/stat");
  std::string line;
  std::getline(stat, line);
  // The second field is the program's name in brackets and may contain anything.
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string skipped;
  for (int field = 3; field < 22; ++field) fields >> skipped;
  double ticks = 0;
  fields >> ticks;
  std::ifstream machine("/proc/stat");
  double boot = 0;
  while (machine >> skipped) {
    if (skipped != "btime") continue;
    machine >> boot;
    break;
  }
  return boot + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

std::vector<MetricFamily> ProcessMetrics::Collect() const {
  static const double start_seconds = StartSeconds();
  return {
      Family("process_cpu_seconds_total", "CPU time of the process, user and system, in seconds.",
             MetricType::Counter, CpuSeconds()),
      Family("process_resident_memory_bytes", "Resident memory of the process.", MetricType::Gauge,
             ResidentBytes()),
      Family("process_open_fds", "Open file descriptors of the process.", MetricType::Gauge,
             OpenFds()),
      Family("process_start_time_seconds", "Start of the process, in seconds since 1970.",
             MetricType::Gauge, start_seconds)};
}

}  // namespace ese
