// SPDX-License-Identifier: Apache-2.0
// Rows of a matrix of which different columns are kept, as the format wants them: equally long.
#pragma once

#include <vector>

namespace ese {

// Columns of one row, ascending.
using Columns = std::vector<int>;

// Columns are added to each row, to be kept with a weight of 0: one wherever a gap is over kMaxGap,
// and then the lowest that are unused, until all rows have as many as the longest.
std::vector<Columns> EqualRows(const std::vector<Columns>& rows);

}  // namespace ese
