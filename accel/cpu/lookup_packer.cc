// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/lookup_packer.h"

#include <algorithm>
#include <numeric>

namespace ese {
namespace {}  // namespace

LookupPacker::LookupPacker(const Matrix& matrix, const LookupLayout& layout, int first_column)
    : matrix_(matrix),
      layout_(layout),
      columns_(matrix.columns),
      entries_(size_t(matrix.entries_per_row) * kStripRows),
      candidates_(size_t(kStripRows) * layout.lines()),
      slack_(candidates_.size()),
      next_(candidates_.size()),
      tiles_(layout.lines()),
      demand_(layout.lines()),
      assigned_(layout.lines()),
      visits_(layout.lines()) {
  for (int c = 0; c < matrix.columns; ++c) {
    const int granule = layout.GranuleOf(c + first_column), byte = layout.ByteOf(c + first_column);
    Entry& entry = columns_[c];
    entry = {};
    for (int i = 0; i < 2; ++i) {
      const int position = layout.Position(granule, i);
      entry.line[i] = static_cast<uint16_t>(position / kGranulesPerLine);
      entry.column[i] = static_cast<uint8_t>(position % kGranulesPerLine * kGranule + byte);
    }
  }
}

void LookupPacker::Append(const int* rows, bool upwards, LookupTiles* out) {
  ReadRows(rows);
  AllotTiles();
  AssignLines();
  Emit(upwards, out);
}

// Here and below, the rows take turns in the innermost loop. What is written for one entry is often
// read for the next entry of the same row, so that the processor would have to wait for it.
void LookupPacker::ReadRows(const int* rows) {
  const size_t lines = tiles_.size();
  const int n = matrix_.entries_per_row;
  const uint16_t* file[kStripRows];
  int column[kStripRows];
  int32_t sums[kStripRows] = {};
  for (rows_ = 0; rows_ < kStripRows && rows[rows_] >= 0; ++rows_) {
    file[rows_] = matrix_.entries.data() + size_t(rows[rows_]) * n;
    column[rows_] = -1;
  }
  std::fill(candidates_.begin(), candidates_.end(), 0);
  Entry* entries = entries_.data();
  for (int e = 0; e < n; ++e, entries += kStripRows) {
    int* candidates = candidates_.data();
    for (int r = 0; r < rows_; ++r, candidates += lines) {
      const uint16_t word = file[r][e];
      column[r] += EntryGap(word) + 1;
      Entry entry = columns_[column[r]];
      entry.weight = static_cast<int8_t>(EntryWeight(word));
      sums[r] += entry.weight;
      ++candidates[entry.line[0]];
      ++candidates[entry.line[1]];
      entries[r] = entry;
    }
  }
  std::copy(std::begin(sums), std::end(sums), sums_);
}

void LookupPacker::AllotTiles() {
  const size_t lines = tiles_.size();
  std::fill(demand_.begin(), demand_.end(), 0);
  for (size_t i = 0; i < candidates_.size(); i += lines) {
    for (size_t line = 0; line < lines; ++line) demand_[line] += candidates_[i + line];
  }
  const int64_t least = (matrix_.entries_per_row + kBlockEntries - 1) / kBlockEntries;
  // If rows are short, what matters is that every column has a line with a tile. The lines of the
  // first copies are enough for that (at 5 % density this takes 8 % fewer tiles than by demand).
  const int all_columns = (layout_.granules() + kGranulesPerLine - 1) / kGranulesPerLine;
  if (least <= all_columns) {
    for (int line = 0; line < all_columns; ++line) tiles_[line] = demand_[line] > 0 ? 1 : 0;
    std::fill(tiles_.begin() + all_columns, tiles_.end(), 0);
    return;
  }
  const int64_t total = std::max(1, std::accumulate(demand_.begin(), demand_.end(), 0));
  int64_t before = 0;
  for (size_t line = 0; line < lines; ++line) {
    const int64_t until = before + demand_[line];
    tiles_[line] = static_cast<int>(until * least / total - before * least / total);
    before = until;
  }
}

void LookupPacker::AssignLines() {
  // Enough rows to take turns. Later rows use the tiles that repairing these has added.
  constexpr int kTogether = 8;
  for (int first = 0; first < rows_; first += kTogether) {
    const int end = std::min(rows_, first + kTogether);
    AssignGreedily(first, end);
    for (int r = first; r < end; ++r) RepairRow(r);
  }
}

// An unassigned entry counts as a half in both of its lines. Assigning it makes that a whole in one
// line, whose slack falls by a half, and nothing in the other, whose slack rises by a half.
void LookupPacker::AssignGreedily(int first, int end) {
  const size_t lines = tiles_.size();
  for (int r = first; r < end; ++r) {
    for (size_t line = 0; line < lines; ++line) {
      const size_t i = r * lines + line;
      slack_[i] = 2 * kBlockEntries * tiles_[line] - candidates_[i];
    }
  }
  for (int e = 0; e < matrix_.entries_per_row; ++e) {
    Entry* const entries = &At(0, e);
    int* slack = &slack_[first * lines];
    for (int r = first; r < end; ++r, slack += lines) {
      Entry& entry = entries[r];
      int &a = slack[entry.line[0]], &b = slack[entry.line[1]];
      const int second = b > a ? 1 : 0, change = 2 * second - 1;
      entry.choice = static_cast<uint8_t>(second);
      a += change;
      b -= change;
    }
  }
}

void LookupPacker::RepairRow(int r) {
  const size_t lines = tiles_.size();
  const int* slack = &slack_[r * lines];
  if (std::all_of(slack, slack + lines, [](int x) { return x >= 0; })) return;
  for (Assigned& assigned : assigned_) assigned.count = 0;
  for (int e = 0; e < matrix_.entries_per_row; ++e) {
    const Entry& entry = At(r, e);
    Assigned& assigned = assigned_[entry.line[entry.choice]];
    assigned.entry[assigned.count++] = static_cast<uint16_t>(e);
  }
  for (size_t line = 0; line < lines; ++line) {
    while (Room(line) < 0) {
      if (!MoveAlongAugmentingPath(r, line)) ++tiles_[LineToWiden()];
    }
  }
}

bool LookupPacker::MoveAlongAugmentingPath(int r, int line) {
  ++search_;
  queue_ = {line};
  visits_[line] = {.search = search_, .from = -1};
  for (size_t i = 0; i < queue_.size(); ++i) {
    const int from = queue_[i];
    const Assigned& assigned = assigned_[from];
    for (int slot = 0; slot < assigned.count; ++slot) {
      const Entry& entry = At(r, assigned.entry[slot]);
      const int to = entry.line[1 - entry.choice];
      if (visits_[to].search == search_) continue;
      visits_[to] = {.search = search_, .from = from, .slot = slot};
      if (Room(to) > 0) {
        ApplyPath(r, to);
        return true;
      }
      queue_.push_back(to);
    }
  }
  return false;
}

void LookupPacker::ApplyPath(int r, int line) {
  int slot = assigned_[line].count++;
  while (visits_[line].from >= 0) {
    const Visit& visit = visits_[line];
    Assigned& from = assigned_[visit.from];
    const uint16_t moved = from.entry[visit.slot];
    At(r, moved).choice ^= 1;
    assigned_[line].entry[slot] = moved;
    line = visit.from;
    slot = visit.slot;
  }
  Assigned& first = assigned_[line];
  first.entry[slot] = first.entry[--first.count];
}

int LookupPacker::LineToWiden() const {
  const auto lacking = [&](int line) {
    return demand_[line] - kStripRows * kBlockEntries * tiles_[line];
  };
  return *std::max_element(queue_.begin(), queue_.end(),
                           [&](int a, int b) { return lacking(a) < lacking(b); });
}

void LookupPacker::Emit(bool upwards, LookupTiles* out) {
  const int lines = layout_.lines();
  for (int i = 0; i < lines; ++i) {
    const int line = upwards ? i : lines - 1 - i;
    next_[line] = out->lines.size() * kBlockEntries;
    out->lines.insert(out->lines.end(), tiles_[line], static_cast<uint16_t>(line));
  }
  out->tiles.resize(out->lines.size(), LookupTile{});
  for (int r = 1; r < rows_; ++r) std::copy_n(next_.begin(), lines, next_.begin() + r * lines);
  for (int e = 0; e < matrix_.entries_per_row; ++e) {
    size_t* next = next_.data();
    for (int r = 0; r < rows_; ++r, next += lines) {
      const Entry& entry = At(r, e);
      const size_t k = next[entry.line[entry.choice]]++;
      LookupTile& tile = out->tiles[k / kBlockEntries];
      tile.column[r][k % kBlockEntries] = entry.column[entry.choice];
      tile.weight[r][k % kBlockEntries] = entry.weight;
    }
  }
}

}  // namespace ese
