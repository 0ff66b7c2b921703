// SPDX-License-Identifier: Apache-2.0
// The processors that this process may use.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ese {

// How many processors this process may use: as many as its affinity mask and the quota of its
// control group allow, which may be fewer than the machine has. The number is above 0 and not
// always whole. It is determined only once.
double ProcessorsAllowed();
// The same as a number of threads: rounded down, and at least 1.
int ThreadsAllowed();

// The control group that a line of /proc/self/cgroup names, such as "0::/system.slice/ese.service",
// and those above it, from the root ("") down. Each may have a quota. Version 1 has none that we
// read.
std::vector<std::string> GroupsOf(absl::string_view proc_cgroup);

// The number of processors that a control group's cpu.max ("QUOTA PERIOD" or "max PERIOD") grants,
// at most `processors`.
double QuotaOf(absl::string_view cpu_max, double processors);

}  // namespace ese
