// SPDX-License-Identifier: Apache-2.0
#include "base/processors.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace ese {
namespace {

std::string FirstLine(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

double Measure() {
  // std::thread::hardware_concurrency may also count processors that this process may not use.
  cpu_set_t allowed;
  const bool known = sched_getaffinity(0, sizeof(allowed), &allowed) == 0;
  const double processors = known ? CPU_COUNT(&allowed) : std::thread::hardware_concurrency();
  double granted = std::max(1.0, processors);
  for (const std::string& group : GroupsOf(FirstLine("/proc/self/cgroup"))) {
    granted = QuotaOf(FirstLine("/sys/fs/cgroup" + group + "/cpu.max"), granted);
  }
  return granted;
}

}  // namespace

double ProcessorsAllowed() {
  static const double processors = Measure();
  return processors;
}

int ThreadsAllowed() { return std::max(1, static_cast<int>(ProcessorsAllowed())); }

std::vector<std::string> GroupsOf(absl::string_view proc_cgroup) {
  std::vector<std::string> groups = {""};  // how a container sees its own
  if (!absl::ConsumePrefix(&proc_cgroup, "0::")) return groups;
  for (const absl::string_view part : absl::StrSplit(proc_cgroup, '/', absl::SkipEmpty())) {
    groups.push_back(absl::StrCat(groups.back(), "/", part));
  }
  return groups;
}

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
