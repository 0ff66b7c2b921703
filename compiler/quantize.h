// SPDX-License-Identifier: Apache-2.0
// Quantizes real weights (docs/arithmetic.md): 7-bit weights, one power-of-two scale per row.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "compiler/network.h"
#include "model/model.h"

namespace ese {

// The formats of the vector that a matrix multiplies. Columns below `split` (x) have `first`
// fraction bits; the others (y') have `second`.
struct ColumnFormats {
  int split = 0;
  int first = 0;
  int second = 0;

  // The same format for all columns.
  static ColumnFormats Uniform(int fraction_bits) { return {0, fraction_bits, fraction_bits}; }
  int Of(int column) const { return column < split ? first : second; }
  int Largest() const { return first > second ? first : second; }
};

// Quantizes a matrix. Each row gets the scale with the smallest squared error over its weights. The
// candidates are the finest scale that clips no weight, and scales 2 and 4 times finer, which clip
// the largest weights. `peepholes` is empty, or [cells][3] for a matrix of gates; they enter the
// bound on the sums.
// Returns INVALID_ARGUMENT for a weight or bias that is too large for any scale, or for a row whose
// sums could exceed 32 bits. The message names the tensors, the row and the remedy.
absl::StatusOr<MatrixDraft> Quantize(const SparseMatrix& matrix, const ColumnFormats& formats,
                                     const std::vector<int16_t>& peepholes);

// Quantizes peepholes [cells][3] to Q3.12. Returns INVALID_ARGUMENT for a value outside [-8, 8);
// the message names the tensor.
absl::StatusOr<std::vector<int16_t>> QuantizePeepholes(const LayerTopology& layer,
                                                       const std::vector<float>& peepholes);

// The real value of an integer weight in a row with this shift and in a column whose inputs have
// `fraction_bits` fraction bits.
double RealWeight(int weight, int shift, int fraction_bits);

// 10 log10(signal / error) of a quantized matrix against its real weights. A position where only
// one of them has an entry counts as well.
double WeightSnrDb(const SparseMatrix& real, const Matrix& quantized, const ColumnFormats& formats);

// 10 log10(signal / error) of two sums of squares: infinity if the error is zero, else -infinity if
// the signal is zero.
double Decibels(double signal, double error);

}  // namespace ese
