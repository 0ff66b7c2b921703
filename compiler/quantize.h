// SPDX-License-Identifier: Apache-2.0
// Real weights to integers (docs/arithmetic.md): 7-bit weights, one power-of-two scale a row.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/network.h"
#include "model/model.h"

namespace ese {

// The formats of the integers that a matrix multiplies: columns below `split` have `first` fraction
// bits (x), the others `second` (y').
struct ColumnFormats {
  int split = 0;
  int first = 0;
  int second = 0;

  // One format for all columns.
  static ColumnFormats Uniform(int fraction_bits) { return {0, fraction_bits, fraction_bits}; }
  int Of(int column) const { return column < split ? first : second; }
  int Largest() const { return first > second ? first : second; }
};

// Each row gets the scale of the least squared error over its weights: the largest at which none is
// clipped, or one 2 or 4 times finer, which clips the largest weights.
// `peepholes` is empty, or [cells][3] of the gates' rows, for the bound on sums.
// INVALID_ARGUMENT naming tensors, row and remedy: a weight or bias too large for any scale, or a
// row whose sums could leave 32 bits.
absl::StatusOr<MatrixDraft> Quantize(const SparseMatrix& matrix, const ColumnFormats& formats,
                                     const std::vector<int16_t>& peepholes);

// Q3.12, [cells][3]. INVALID_ARGUMENT naming the tensor of a value outside [-8, 8).
absl::StatusOr<std::vector<int16_t>> QuantizePeepholes(const LayerTopology& layer,
                                                       const std::vector<float>& peepholes);

// The real weight that an integer weight of a row with this shift stands for, in a column of
// integers with `fraction_bits` fraction bits.
double RealWeight(int weight, int shift, int fraction_bits);

// 10 log10(signal / error) of a matrix against its real weights, wherever either has entries.
double WeightSnrDb(const SparseMatrix& real, const Matrix& quantized, const ColumnFormats& formats);

// 10 log10 of a ratio of sums of squares; +-infinity where one of them is zero.
double Decibels(double signal, double error);

}  // namespace ese
