// SPDX-License-Identifier: Apache-2.0
#include "accel/card/output_split.h"

#include <algorithm>

namespace ese {
namespace {

CardPass OutputPass(const Matrix& output, int source) {
  CardPass pass;
  pass.kind = PassKind::kOutput;
  pass.matrix = &output;
  pass.entries = std::max(output.entries_per_row, 1);  // a row without entries is one zero
  pass.source = source;
  return pass;
}

}  // namespace

std::vector<uint16_t> PieceEntries(const Matrix& matrix, int row, int pieces, int piece) {
  const int kept = matrix.entries_per_row;
  const int length = (kept + pieces - 1) / pieces;
  const int begin = std::min(piece * length, kept), end = std::min(begin + length, kept);
  const auto* entries = matrix.entries.data() + size_t(row) * kept;
  std::vector<uint16_t> piece_entries;
  if (begin == end) return piece_entries;
  int column = -1;
  for (int k = 0; k <= begin; ++k) column += EntryGap(entries[k]) + 1;
  for (; column > kMaxGap; column -= kMaxGap + 1) {
    piece_entries.push_back(MakeEntry(kMaxGap, 0));
  }
  piece_entries.push_back(MakeEntry(column, EntryWeight(entries[begin])));
  piece_entries.insert(piece_entries.end(), entries + begin + 1, entries + end);
  return piece_entries;
}

std::vector<CardPass> SplitOutput(const Matrix& output, int pes, int source) {
  CardPass whole = OutputPass(output, source);
  whole.rows = (output.rows + pes - 1) / pes;
  whole.count = output.rows;
  const int rest = output.rows % pes;
  const int pieces = rest == 0 ? 1 : pes / rest;
  if (pieces == 1) return {whole};

  CardPass split = OutputPass(output, source);
  split.rows = 1;
  split.count = rest;
  split.first_row = output.rows - rest;
  split.pieces = pieces;
  split.entries = 1;
  for (int row = split.first_row; row < output.rows; ++row) {
    for (int piece = 0; piece < pieces; ++piece) {
      const auto entries = PieceEntries(output, row, pieces, piece).size();
      split.entries = std::max(split.entries, static_cast<int>(entries));
    }
  }
  if (split.entries >= whole.entries) return {whole};
  if (whole.rows == 1) return {split};
  whole.rows -= 1;
  whole.count -= rest;
  return {whole, split};
}

}  // namespace ese
