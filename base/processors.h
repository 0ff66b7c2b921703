// SPDX-License-Identifier: Apache-2.0
// The processors that this process may use.
#pragma once

#include "absl/strings/string_view.h"

namespace ese {

// Those that it may run on, not those that the machine has, or what its control group's quota
// leaves of them: above 0, not always whole. Looked up once.
double ProcessorsAllowed();
// The same as a number of threads: whole processors, at least one.
int ThreadsAllowed();

// The processors that a control group's cpu.max ("QUOTA PERIOD" or "max PERIOD") grants, at most
// `processors`.
double QuotaOf(absl::string_view cpu_max, double processors);

}  // namespace ese
