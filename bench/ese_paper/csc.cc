// SPDX-License-Identifier: Apache-2.0
#include "bench/ese_paper/csc.h"

#include <algorithm>
#include <cassert>

namespace ese {
namespace {

constexpr int kGapBits = 4;

uint16_t Pack(int weight, int gap) {
  assert(gap >= 0 && gap <= kCscMaxGap && weight >= -kCscMaxWeight && weight <= kCscMaxWeight);
  return static_cast<uint16_t>(static_cast<unsigned>(weight) << kGapBits | gap);
}
int WeightOf(uint16_t entry) { return static_cast<int16_t>(entry) >> kGapBits; }
int GapOf(uint16_t entry) { return entry & kCscMaxGap; }

}  // namespace

int64_t CscMatrix::Entries() const {
  int64_t entries = 0;
  for (const PeShare& share : shares) entries += static_cast<int64_t>(share.entries.size());
  return entries;
}

int64_t CscMatrix::Words() const {
  size_t longest = 0;
  for (const PeShare& share : shares) longest = std::max(longest, share.entries.size());
  return static_cast<int64_t>(longest);
}

CscMatrix Encode(const SparseMatrix& matrix, int pes) {
  assert(pes > 0 && matrix.rows % pes == 0);
  CscMatrix encoded{.rows = matrix.rows, .columns = matrix.columns, .shares = {}};
  encoded.shares.resize(pes);
  for (int pe = 0; pe < pes; ++pe) {
    PeShare& share = encoded.shares[pe];
    share.column_begin.reserve(matrix.columns + 1);
    share.column_begin.push_back(0);
    for (int column = 0; column < matrix.columns; ++column) {
      int gap = 0;
      for (int row = pe; row < matrix.rows; row += pes) {
        const int weight = matrix.At(row, column);
        if (weight == 0) {
          ++gap;
          continue;
        }
        for (; gap > kCscMaxGap; gap -= kCscMaxGap + 1) {
          share.entries.push_back(Pack(0, kCscMaxGap));
          ++encoded.padding;
        }
        share.entries.push_back(Pack(weight, gap));
        gap = 0;
      }
      share.column_begin.push_back(static_cast<int>(share.entries.size()));
    }
  }
  return encoded;
}

SparseMatrix Decode(const CscMatrix& encoded) {
  SparseMatrix matrix{.rows = encoded.rows, .columns = encoded.columns, .weights = {}};
  matrix.weights.resize(static_cast<size_t>(matrix.rows) * matrix.columns);
  for (int pe = 0; pe < encoded.pes(); ++pe) {
    const PeShare& share = encoded.shares[pe];
    for (int column = 0; column < encoded.columns; ++column) {
      int row_of_share = -1;
      for (int i = share.column_begin[column]; i < share.column_begin[column + 1]; ++i) {
        row_of_share += GapOf(share.entries[i]) + 1;
        const int row = pe + row_of_share * encoded.pes();
        matrix.weights[static_cast<size_t>(row) * matrix.columns + column] =
            static_cast<int16_t>(WeightOf(share.entries[i]));
      }
    }
  }
  return matrix;
}

}  // namespace ese
