// SPDX-License-Identifier: Apache-2.0
// How the rows of a matrix are dealt to PEs. No other host code may assume this order.
//
// Rows go to PEs in turn, `pes` at a time. Gate rows are dealt by cell, so that the four gate rows
// of a cell follow one another on one PE. In an output pass with pieces, the PEs share `count` rows
// instead, and each PE works on one piece of a row (output_split.h).
#pragma once

#include "accel/card/card_format.h"

namespace ese {

// Row `row` of PE `pe` within a pass.
struct PeRow {
  int pe = 0;
  int row = 0;
};

// A row of the pass's matrix, or one piece of it.
struct MatrixRow {
  int row = -1;  // -1: none, the PE works on zero entries
  int piece = 0;
};

class RowMap {
 public:
  // `count` is the pass's count: cells of a gates pass, else rows of the matrix that the pass
  // covers, which begin at `first_row`.
  RowMap(PassKind kind, int count, int pes, int first_row = 0, int pieces = 1)
      : gates_(kind == PassKind::kGates ? kCardGates : 1),
        count_(count),
        pes_(pes),
        first_row_(first_row),
        pieces_(pieces) {}

  MatrixRow At(const PeRow& at) const {
    if (pieces_ > 1) {
      if (at.row != 0 || at.pe >= count_ * pieces_) return {};
      return {first_row_ + at.pe % count_, at.pe / count_};
    }
    const int unit = at.row / gates_ * pes_ + at.pe;  // a cell of gates, else a row
    if (unit >= count_) return {};
    return {first_row_ + unit * gates_ + at.row % gates_, 0};
  }

  // The inverse of At. REQUIRES: the row is one of the pass's.
  PeRow Find(const MatrixRow& of) const {
    const int row = of.row - first_row_;
    if (pieces_ > 1) return {of.piece * count_ + row, 0};
    const int unit = row / gates_;
    return {unit % pes_, unit / pes_ * gates_ + row % gates_};
  }

  // Rows of the matrix that the pass covers.
  int matrix_rows() const { return count_ * gates_; }
  // Rows that each PE has for them.
  int pe_rows() const { return pieces_ > 1 ? 1 : (count_ + pes_ - 1) / pes_ * gates_; }

 private:
  const int gates_, count_, pes_, first_row_, pieces_;
};

// Where a gate's peephole is among the three of a cell, which are those of i, f and o; -1 for g.
constexpr int PeepholeOfGate(int gate) { return gate == 2 ? -1 : gate == 3 ? 2 : gate; }

}  // namespace ese
