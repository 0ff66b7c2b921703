// SPDX-License-Identifier: Apache-2.0
// Formats what ese-compile prints about a model.
#pragma once

#include <string>

#include "compiler/compile.h"

namespace ese {

// Aligned text. `everything` adds the sections of the file, the cycles of a step on the
// accelerator, the SNR of each unit, and the facts.
std::string TextReport(const Report& report, bool everything);

// The same as one JSON object, always with everything. A figure that is not finite is null.
std::string JsonReport(const Report& report);

// The number of entries on the fullest of `pes` processing elements divided by the mean, when
// groups of `rows_per_group` consecutive rows are assigned to the elements in turn. 1 is perfect
// balance.
double ImbalanceOverPes(int rows, int rows_per_group, int pes);

}  // namespace ese
