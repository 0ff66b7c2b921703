// SPDX-License-Identifier: Apache-2.0
// Makes all rows of a matrix keep the same number of columns, as the model format requires.
#pragma once

#include <vector>

namespace ese {

// The columns that one row keeps, ascending.
using Columns = std::vector<int>;

// Returns the rows with added columns, which are to be kept with a weight of 0. First adds a column
// wherever a gap would exceed kMaxGap, then each row's lowest unused columns until all rows are as
// long as the longest.
std::vector<Columns> EqualRows(const std::vector<Columns>& rows);

}  // namespace ese
