// SPDX-License-Identifier: Apache-2.0
// The processors that this process may use.
#pragma once

#include "absl/strings/string_view.h"

namespace ese {

// How many processors this process may use: those that its affinity mask allows, not all of the
// machine's, limited by the quota of its control group. Above 0 and not always a whole number. Read
// once.
double ProcessorsAllowed();
// The same as a number of threads: rounded down, and at least 1.
int ThreadsAllowed();

// The number of processors that a control group's cpu.max ("QUOTA PERIOD" or "max PERIOD") grants,
// at most `processors`.
double QuotaOf(absl::string_view cpu_max, double processors);

}  // namespace ese
