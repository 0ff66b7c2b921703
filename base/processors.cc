// SPDX-License-Identifier: Apache-2.0
#include "base/processors.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace ese {
namespace {

double Measure() {
  // std::thread::hardware_concurrency may also count processors that this process may not use.
  cpu_set_t allowed;
  const bool known = sched_getaffinity(0, sizeof(allowed), &allowed) == 0;
  const double processors = known ? CPU_COUNT(&allowed) : std::thread::hardware_concurrency();
  std::string cpu_max;
  std::ifstream file("/sys/fs/cgroup/cpu.max");  // how a container sees its own
  std::getline(file, cpu_max);
  return QuotaOf(cpu_max, std::max(1.0, processors));
}

}  // namespace

double ProcessorsAllowed() {
  static const double processors = Measure();
  return processors;
}

int ThreadsAllowed() { return std::max(1, static_cast<int>(ProcessorsAllowed())); }

double QuotaOf(absl::string_view cpu_max, double processors) {
  const std::vector<absl::string_view> parts =
      absl::StrSplit(cpu_max, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  double quota = 0, period = 0;
  if (parts.size() != 2 || !absl::SimpleAtod(parts[0], &quota) ||
      !absl::SimpleAtod(parts[1], &period) || !(quota > 0) || !(period > 0)) {
    return processors;
  }
  return std::min(processors, quota / period);
}

}  // namespace ese
