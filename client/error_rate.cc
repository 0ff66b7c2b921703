// SPDX-License-Identifier: Apache-2.0
#include "client/error_rate.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace ese {
namespace {

enum class Move : uint8_t { kDiagonal, kDelete, kInsert };

// moves[i * columns + j] is the last move of a cheapest path that aligns the first i reference
// phones with the first j recognised phones.
std::vector<Move> CheapestMoves(absl::Span<const std::string> reference,
                                absl::Span<const std::string> recognised) {
  const size_t columns = recognised.size() + 1;
  std::vector<Move> moves((reference.size() + 1) * columns, Move::kInsert);
  std::vector<int64_t> above(columns);
  std::iota(above.begin(), above.end(), 0);
  std::vector<int64_t> row(columns);
  for (size_t i = 1; i <= reference.size(); ++i) {
    row[0] = static_cast<int64_t>(i);
    moves[i * columns] = Move::kDelete;
    for (size_t j = 1; j < columns; ++j) {
      const int64_t diagonal = above[j - 1] + (reference[i - 1] == recognised[j - 1] ? 0 : 1);
      const int64_t deletion = above[j] + 1;
      const int64_t insertion = row[j - 1] + 1;
      row[j] = std::min({diagonal, deletion, insertion});
      moves[i * columns + j] = row[j] == diagonal   ? Move::kDiagonal
                               : row[j] == deletion ? Move::kDelete
                                                    : Move::kInsert;
    }
    std::swap(above, row);
  }
  return moves;
}

}  // namespace

ErrorCounts& ErrorCounts::operator+=(const ErrorCounts& other) {
  reference += other.reference;
  substitutions += other.substitutions;
  deletions += other.deletions;
  insertions += other.insertions;
  return *this;
}

Alignment Align(absl::Span<const std::string> reference, absl::Span<const std::string> recognised) {
  const std::vector<Move> moves = CheapestMoves(reference, recognised);
  Alignment result;
  result.counts.reference = static_cast<int64_t>(reference.size());
  size_t i = reference.size();
  size_t j = recognised.size();
  while (i > 0 || j > 0) {
    switch (moves[i * (recognised.size() + 1) + j]) {
      case Move::kDiagonal:
        --i, --j;
        if (reference[i] != recognised[j]) ++result.counts.substitutions;
        result.pairs.push_back({reference[i], recognised[j]});
        break;
      case Move::kDelete:
        --i;
        ++result.counts.deletions;
        result.pairs.push_back({reference[i], ""});
        break;
      case Move::kInsert:
        --j;
        ++result.counts.insertions;
        result.pairs.push_back({"", recognised[j]});
        break;
    }
  }
  std::reverse(result.pairs.begin(), result.pairs.end());
  return result;
}

}  // namespace ese
