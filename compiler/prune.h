// SPDX-License-Identifier: Apache-2.0
// Row-balanced pruning: every row of a matrix keeps the same number of entries.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "compiler/network.h"

namespace ese {

// A matrix with fewer non-zero weights than this share was pruned by its training.
inline constexpr double kMaskedBelow = 0.95;

struct PruneOptions {
  // Share of each row to keep, above 0 and at most 1. Without it a matrix that its training pruned
  // keeps its non-zero weights, and any other all of its weights.
  std::optional<double> density;
  // Fills rows of a kept mask up to the fullest row with entries of zero weight. Without it unequal
  // rows are refused.
  bool pad = false;
};

enum class PruneOrigin {
  kDense,       // all weights were kept
  kTraining,    // the mask of the training was kept
  kMagnitudes,  // the largest weights of each row were kept
};

struct PruneReport {
  PruneOrigin origin = PruneOrigin::kDense;
  int64_t zero_entries = 0;   // entries added with zero weight, for equal rows and for long gaps
  double squares_kept = 1.0;  // kept share of the sum of squared weights
  std::string notice;         // to the user whose density keeps zeros of a sparser mask, or empty
};

struct PrunedMatrix {
  SparseMatrix matrix;
  PruneReport report;
};

// With a density every row keeps exactly round(density * columns) entries, at least 1, those of the
// largest magnitudes, of equals the lower column. A gap of more than kMaxGap columns gets an entry
// of zero weight in it; then the other rows get as many, in their lowest unused columns.
// INVALID_ARGUMENT: a density outside (0, 1]; unequal rows of a kept mask.
absl::StatusOr<PrunedMatrix> Prune(const DenseMatrix& dense, const PruneOptions& options);

}  // namespace ese
