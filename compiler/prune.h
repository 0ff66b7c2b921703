// SPDX-License-Identifier: Apache-2.0
// Row-balanced pruning: every row of a matrix keeps the same number of entries.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "compiler/network.h"

namespace ese {

// A matrix counts as pruned by training if its share of non-zero weights is below this.
inline constexpr double kMaskedBelow = 0.95;

struct PruneOptions {
  // The share of each row to keep, above 0 and at most 1. Without it, a matrix that training pruned
  // keeps its non-zero weights, and any other matrix keeps all weights.
  std::optional<double> density;
  // Pads shorter rows of a training mask with entries of zero weight, up to the longest row.
  // Without it, rows of unequal length are refused.
  bool pad = false;
};

enum class PruneOrigin {
  kDense,       // all weights were kept
  kTraining,    // the mask from training was kept
  kMagnitudes,  // the largest weights of each row were kept
};

struct PruneReport {
  PruneOrigin origin = PruneOrigin::kDense;
  int64_t zero_entries = 0;   // entries added with zero weight, for equal rows and for long gaps
  double squares_kept = 1.0;  // share of the sum of squared weights that was kept
  std::string notice;         // a warning that the mask is sparser than the density, or empty
};

struct PrunedMatrix {
  SparseMatrix matrix;
  PruneReport report;
};

// Prunes a matrix. With a density, every row keeps its round(density * columns) largest entries
// by magnitude, and at least one. If two are equal, the one in the lower column is kept. An
// entry of zero weight is inserted into a gap of more than kMaxGap columns; the other rows are then
// padded to the same length with entries of zero weight in their lowest unused columns.
// Returns INVALID_ARGUMENT for a density outside (0, 1], or for a training mask with unequal rows.
absl::StatusOr<PrunedMatrix> Prune(const DenseMatrix& dense, const PruneOptions& options);

}  // namespace ese
