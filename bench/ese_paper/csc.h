// SPDX-License-Identifier: Apache-2.0
// The paper's compressed sparse columns. Rows are interleaved over the PEs. Within a PE's share of
// a column, an entry gives its row as the number of zeros skipped since the entry before it.
//
//      PE p holds rows p, p + pes, p + 2 pes, ...          entry: | weight, 12 bits | gap, 4 bits |
//
//      share of a column     0 0 w 0 0 ... (19 zeros) ... 0 v
//      entries               (w, 2)      (0, 15) (v, 3)
//                                        `- padding: 15 zeros skipped and one more stored
//
// The gap restarts at each column. A weight of 0 is never kept, so (0, 15) is always padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ese {

// Row-major; 0 is a pruned weight.
struct SparseMatrix {
  int rows = 0;
  int columns = 0;
  std::vector<int16_t> weights;

  int16_t At(int row, int column) const {
    return weights[static_cast<size_t>(row) * columns + column];
  }
};

constexpr int kCscMaxGap = 15;
constexpr int kCscMaxWeight = 2047;

struct PeShare {
  std::vector<uint16_t> entries;
  std::vector<int> column_begin;  // columns + 1 indices into entries

  int EntriesOf(int column) const { return column_begin[column + 1] - column_begin[column]; }
};

struct CscMatrix {
  int rows = 0;
  int columns = 0;
  std::vector<PeShare> shares;  // one for each PE
  int64_t padding = 0;          // entries that hold no weight

  int pes() const { return static_cast<int>(shares.size()); }
  int64_t Entries() const;
  // A word holds one entry for each PE, so the longest share decides how many words there are.
  // Shorter shares leave their places in the last words empty.
  int64_t Words() const;
};

// REQUIRES: pes divides the number of rows; every weight is within +-kCscMaxWeight.
CscMatrix Encode(const SparseMatrix& matrix, int pes);
SparseMatrix Decode(const CscMatrix& encoded);

}  // namespace ese
