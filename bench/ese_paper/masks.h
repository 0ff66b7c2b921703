// SPDX-License-Identifier: Apache-2.0
// Random weights of a trained network's shape, and which of them pruning keeps.
#pragma once

#include <random>
#include <vector>

#include "bench/ese_paper/csc.h"

namespace ese {

// How unequal a matrix's rows and columns are: weight (r, c) is normal with the deviation
// row_scale[r] * column_scale[c], and the scales are log-normal with these deviations of their
// logarithm. 0: all alike.
struct Spread {
  double rows = 0;
  double columns = 0;
};

struct Magnitudes {
  int rows = 0;
  int columns = 0;
  std::vector<float> values;  // row-major, of the weights
};
Magnitudes RandomMagnitudes(int rows, int columns, Spread spread, std::mt19937_64* random);

// Of each PE's share (rows p, p + pes, ...) its `kept` largest: every PE has the same number.
// The kept weights are 1 in the result; time depends on their places only.
// REQUIRES: pes divides the rows; 0 <= kept <= the share's weights.
SparseMatrix PruneBalanced(const Magnitudes& magnitudes, int pes, int kept);
// The `kept` largest of the matrix.
SparseMatrix PruneUnbalanced(const Magnitudes& magnitudes, int kept);

}  // namespace ese
