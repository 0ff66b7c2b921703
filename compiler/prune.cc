// SPDX-License-Identifier: Apache-2.0
#include "compiler/prune.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/equal_rows.h"

namespace ese {
namespace {

absl::Span<const float> Row(const DenseMatrix& dense, int row) {
  return absl::MakeConstSpan(dense.weights).subspan(size_t(row) * dense.columns, dense.columns);
}

// The columns of the `count` largest magnitudes. A tie goes to the lower column.
Columns Largest(absl::Span<const float> row, int count) {
  Columns columns(row.size());
  std::iota(columns.begin(), columns.end(), 0);
  const auto larger = [&](int a, int b) {
    const float magnitude_a = std::abs(row[a]);
    const float magnitude_b = std::abs(row[b]);
    return magnitude_a != magnitude_b ? magnitude_a > magnitude_b : a < b;
  };
  std::nth_element(columns.begin(), columns.begin() + (count - 1), columns.end(), larger);
  columns.resize(count);
  std::sort(columns.begin(), columns.end());
  return columns;
}

Columns NonZero(absl::Span<const float> row) {
  Columns columns;
  for (size_t c = 0; c < row.size(); ++c) {
    if (row[c] != 0) columns.push_back(static_cast<int>(c));
  }
  return columns;
}

absl::Status CheckEqualRows(const DenseMatrix& dense, const std::vector<Columns>& kept) {
  const auto fewer = [](const Columns& a, const Columns& b) { return a.size() < b.size(); };
  const auto [least, most] = std::minmax_element(kept.begin(), kept.end(), fewer);
  if (least->size() == most->size()) return absl::OkStatus();
  const auto row_name = [&](auto it) {
    return dense.name.Row(static_cast<int>(it - kept.begin()));
  };
  return absl::InvalidArgumentError(absl::StrCat(
      dense.name.tensors, ": training pruned its rows unequally: ", row_name(least), " keeps ",
      least->size(), " weights, ", row_name(most), " keeps ", most->size(),
      "; pad the shorter rows with --pad, or prune again with ", dense.name.density_flag, " D"));
}

std::string NoticeOfZeros(const DenseMatrix& dense, const std::vector<Columns>& kept,
                          int64_t entries) {
  int64_t zeros = 0;
  for (int r = 0; r < dense.rows; ++r) {
    for (const int column : kept[r]) zeros += Row(dense, r)[column] == 0;
  }
  if (zeros == 0) return "";
  return absl::StrCat(
      dense.name.tensors, ": ", zeros, " of the ", entries, " weights that ",
      dense.name.density_flag,
      " keeps are zero, because the matrix was already pruned further; give a lower density, or "
      "leave the option out to keep its mask");
}

double SumOfSquares(const std::vector<float>& values) {
  double sum = 0;
  for (const float v : values) sum += double{v} * double{v};
  return sum;
}

// Gathers the kept weights. Entries that were added for equal rows get a weight of zero.
SparseMatrix Gather(const DenseMatrix& dense, const std::vector<Columns>& kept) {
  SparseMatrix sparse;
  sparse.name = dense.name;
  sparse.rows = dense.rows;
  sparse.columns = dense.columns;
  sparse.bias = dense.bias;
  const std::vector<Columns> equal = EqualRows(kept);
  sparse.entries_per_row = equal.empty() ? 0 : static_cast<int>(equal.front().size());
  for (int r = 0; r < dense.rows; ++r) {
    for (const int column : equal[r]) {
      const bool real = std::binary_search(kept[r].begin(), kept[r].end(), column);
      sparse.column.push_back(column);
      sparse.weights.push_back(real ? Row(dense, r)[column] : 0.0f);
    }
  }
  return sparse;
}

}  // namespace

absl::StatusOr<PrunedMatrix> Prune(const DenseMatrix& dense, const PruneOptions& options) {
  PrunedMatrix pruned;
  const auto nonzero = static_cast<double>(
      std::count_if(dense.weights.begin(), dense.weights.end(), [](float w) { return w != 0; }));
  const bool sparse = nonzero < kMaskedBelow * static_cast<double>(dense.weights.size());
  int count = dense.columns;
  if (options.density) {
    if (!(*options.density > 0 && *options.density <= 1)) {
      return absl::InvalidArgumentError(absl::StrCat(dense.name.tensors,
                                                     ": cannot keep a share of ", *options.density,
                                                     "; a density is above 0 and at most 1"));
    }
    count = std::max(1, static_cast<int>(std::floor(*options.density * dense.columns + 0.5)));
    pruned.report.origin = PruneOrigin::kMagnitudes;
  } else if (sparse) {
    pruned.report.origin = PruneOrigin::kTraining;
  }

  const bool masked = pruned.report.origin == PruneOrigin::kTraining;
  std::vector<Columns> kept;
  int64_t real_entries = 0;
  for (int r = 0; r < dense.rows; ++r) {
    kept.push_back(masked ? NonZero(Row(dense, r)) : Largest(Row(dense, r), count));
    real_entries += static_cast<int64_t>(kept.back().size());
  }
  if (masked && !options.pad) ESE_RETURN_IF_ERROR(CheckEqualRows(dense, kept));

  pruned.matrix = Gather(dense, kept);
  if (options.density && sparse) pruned.report.notice = NoticeOfZeros(dense, kept, real_entries);
  pruned.report.zero_entries = static_cast<int64_t>(pruned.matrix.column.size()) - real_entries;
  const double all = SumOfSquares(dense.weights);
  if (all > 0) pruned.report.squares_kept = SumOfSquares(pruned.matrix.weights) / all;
  return pruned;
}

}  // namespace ese
