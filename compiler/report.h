// SPDX-License-Identifier: Apache-2.0
// What ese-compile prints about a model.
#pragma once

#include <string>

#include "compiler/compile.h"

namespace ese {

// Aligned text. `everything` adds the sections of the file, each unit's SNR and the facts.
std::string TextReport(const Report& report, bool everything);

// The same as one JSON object, always with everything; a figure that is not finite is null.
std::string JsonReport(const Report& report);

// Entries of the fullest of `pes` processing elements over their mean, where consecutive groups of
// `rows_per_group` rows are dealt out to the elements in turn. 1 is perfect balance.
double ImbalanceOverPes(int rows, int rows_per_group, int pes);

}  // namespace ese
