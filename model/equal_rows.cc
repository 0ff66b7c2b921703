// SPDX-License-Identifier: Apache-2.0
#include "model/equal_rows.h"

#include <algorithm>
#include <utility>

#include "model/model.h"

namespace ese {
namespace {

// Adds a column wherever a gap would be too long for an entry. Such a column is always unused,
// because it lies between two neighbours.
Columns WithFillers(const Columns& kept) {
  Columns columns;
  int previous = -1;
  for (const int column : kept) {
    while (column - previous - 1 > kMaxGap) columns.push_back(previous += kMaxGap + 1);
    columns.push_back(column);
    previous = column;
  }
  return columns;
}

// Adds the lowest unused columns until there are `count` columns.
void PadTo(size_t count, Columns* columns) {
  Columns padded = *columns;
  auto used = columns->begin();
  for (int column = 0; padded.size() < count; ++column) {
    if (used != columns->end() && *used == column) {
      ++used;
    } else {
      padded.push_back(column);
    }
  }
  std::sort(padded.begin(), padded.end());
  *columns = std::move(padded);
}

}  // namespace

std::vector<Columns> EqualRows(const std::vector<Columns>& rows) {
  std::vector<Columns> equal;
  size_t longest = 0;
  for (const Columns& row : rows) {
    equal.push_back(WithFillers(row));
    longest = std::max(longest, equal.back().size());
  }
  for (Columns& row : equal) PadTo(longest, &row);
  return equal;
}

}  // namespace ese
