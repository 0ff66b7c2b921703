// SPDX-License-Identifier: Apache-2.0
// Random weights that are as unequal as a trained network's, and the choice of those to keep.
#pragma once

#include <random>
#include <vector>

#include "bench/ese_paper/csc.h"

namespace ese {

// How unequal a matrix's rows and columns are. Weight (r, c) is normal with the standard deviation
// row_scale[r] * column_scale[c]. The scales are log-normal, and the fields are the standard
// deviations of their logarithms. 0 makes all rows or columns alike.
struct Spread {
  double rows = 0;
  double columns = 0;
};

struct Magnitudes {
  int rows = 0;
  int columns = 0;
  std::vector<float> values;  // row-major
};
Magnitudes RandomMagnitudes(int rows, int columns, Spread spread, std::mt19937_64* random);

// Keeps the `kept` largest weights of each PE's share (rows p, p + pes, ...), so every PE has the
// same number. Kept weights are 1 in the result, because time depends on their places only.
// REQUIRES: pes divides the number of rows; 0 <= kept <= the number of weights in a share.
SparseMatrix PruneBalanced(const Magnitudes& magnitudes, int pes, int kept);
// Keeps the `kept` largest weights of the whole matrix.
SparseMatrix PruneUnbalanced(const Magnitudes& magnitudes, int kept);

}  // namespace ese
