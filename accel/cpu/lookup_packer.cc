#include "accel/cpu/lookup_packer.h"

#include <algorithm>
#include <numeric>

namespace ese {
namespace {

constexpr int kGranulesPerLine = kLineColumns / kGranule;

// In whole strips, which are written at once.
int Granules(int columns) {
  return (columns + kStripRows - 1) / kStripRows * (kStripRows / kGranule);
}

// Copies follow each other with this stride (modulo their number), so that what shares a line lies
// in different lines. Of strides from 0.12 to 0.7 of them, 0.276 padded least: 14.6 % on average
// over 16 matrices of nine models with random entries, where the others took 14.8 to 25 %.
int CopyStride(int granules) {
  int stride = std::max(1, granules * 276 / 1000);
  while (std::gcd(stride, granules) != 1) ++stride;
  return stride;
}

}  // namespace

LookupPlaces::LookupPlaces(int inputs, int outputs)
    : inputs_(inputs), x_granule_(Granules(outputs)) {
  const int granules = x_granule_ + Granules(inputs);
  const int stride = CopyStride(granules);
  copy_.resize(granules);
  for (int g = 0; g < granules; ++g) {
    copy_[g] = static_cast<uint16_t>(granules + int64_t{g} * stride % granules);
  }
}

int LookupPlaces::lines() const {
  return (2 * granules() + kGranulesPerLine - 1) / kGranulesPerLine;
}

LookupPacker::LookupPacker(const Matrix& matrix, const LookupPlaces& places, int first_column)
    : matrix_(matrix),
      places_(places),
      columns_(matrix.columns),
      room_(size_t(kStripRows) * places.lines()),
      steps_(places.lines()),
      demand_(places.lines()),
      held_(places.lines()),
      visits_(places.lines()),
      next_(places.lines()) {
  for (int c = 0; c < matrix.columns; ++c) {
    const int granule = places.GranuleOf(c + first_column), byte = places.ByteOf(c + first_column);
    Entry& entry = columns_[c];
    entry = {};
    for (int i = 0; i < 2; ++i) {
      const int place = i == 0 ? granule : places.copy()[granule];
      entry.line[i] = static_cast<uint16_t>(place / kGranulesPerLine);
      entry.column[i] = static_cast<uint8_t>(place % kGranulesPerLine * kGranule + byte);
    }
  }
}

void LookupPacker::Append(const int* rows, bool upwards, LookupStrip* strip) {
  std::fill(demand_.begin(), demand_.end(), 0);
  for (int i = 0; i < kStripRows; ++i) ReadRow(rows[i], &rows_[i]);
  BeginStrip();
  Route();
  Emit(upwards, strip);
}

int32_t LookupPacker::SumOfWeights(int i) const {
  int32_t sum = 0;
  for (const Entry& entry : rows_[i]) sum += entry.weight;
  return sum;
}

void LookupPacker::ReadRow(int r, std::vector<Entry>* row) {
  row->clear();
  if (r < 0) return;
  const int n = matrix_.entries_per_row;
  const uint16_t* entries = matrix_.entries.data() + size_t(r) * n;
  row->resize(n);
  int column = -1;
  for (int k = 0; k < n; ++k) {
    column += EntryGap(entries[k]) + 1;
    Entry& entry = (*row)[k];
    entry = columns_[column];
    entry.weight = static_cast<int8_t>(EntryWeight(entries[k]));
    ++demand_[entry.line[0]];
    ++demand_[entry.line[1]];
  }
}

void LookupPacker::BeginStrip() {
  const int64_t least = (matrix_.entries_per_row + kBlockEntries - 1) / kBlockEntries;
  const int64_t total = std::max(1, std::accumulate(demand_.begin(), demand_.end(), 0));
  int64_t before = 0;
  for (size_t line = 0; line < steps_.size(); ++line) {
    const int64_t until = before + demand_[line];
    steps_[line] = static_cast<int>(until * least / total - before * least / total);
    before = until;
  }
}

void LookupPacker::Route() {
  RouteDirectly();
  for (int r = 0; r < kStripRows; ++r) {
    if (!left_[r].empty()) RouteRest(r);
  }
}

void LookupPacker::RouteDirectly() {
  const size_t lines = steps_.size();
  for (int r = 0; r < kStripRows; ++r) {
    left_[r].clear();
    for (size_t line = 0; line < lines; ++line) {
      room_[r * lines + line] = static_cast<int16_t>(kBlockEntries * steps_[line]);
    }
  }
  // Rows take turns: where one entry goes decides what is read for the next of the same row, for
  // which the processor would have to wait.
  for (int e = 0; e < matrix_.entries_per_row; ++e) {
    int16_t* room = room_.data();
    for (int r = 0; r < kStripRows; ++r, room += lines) {
      if (rows_[r].empty()) continue;
      Entry& entry = rows_[r][e];
      entry.choice = room[entry.line[1]] > room[entry.line[0]] ? 1 : 0;
      int16_t& chosen = room[entry.line[entry.choice]];
      if (chosen > 0) {
        --chosen;
      } else {
        left_[r].push_back(static_cast<uint16_t>(e));
      }
    }
  }
}

void LookupPacker::RouteRest(int r) {
  std::vector<Entry>& row = rows_[r];
  for (Held& held : held_) held.count = 0;
  size_t left = 0;
  for (int e = 0; e < static_cast<int>(row.size()); ++e) {
    if (left < left_[r].size() && left_[r][left] == e) {
      ++left;
      continue;
    }
    Held& held = held_[row[e].line[row[e].choice]];
    held.entry[held.count++] = static_cast<uint16_t>(e);
  }
  for (const int e : left_[r]) {
    while (!PlaceByMoving(&row, e)) ++steps_[LineToWiden()];
  }
}

bool LookupPacker::PlaceByMoving(std::vector<Entry>* row, int e) {
  ++attempt_;
  queue_.clear();
  // True if the way ends here.
  const auto visit = [&, visits = visits_.data(), attempt = attempt_](int line, int from, int slot,
                                                                      uint16_t entry) {
    if (visits[line].attempt == attempt) return false;
    visits[line] = {.attempt = attempt, .from = from, .slot = slot, .entry = entry};
    queue_.push_back(line);
    return Room(line) > 0;
  };
  for (const int line : (*row)[e].line) {
    if (visit(line, -1, 0, static_cast<uint16_t>(e))) {
      MoveChain(row, line);
      return true;
    }
  }
  const Entry* const entries = row->data();
  for (size_t i = 0; i < queue_.size(); ++i) {
    const int from = queue_[i];
    const Held& held = held_[from];
    for (int slot = 0, count = held.count; slot < count; ++slot) {
      const uint16_t other = held.entry[slot];
      const int line = entries[other].line[1 - entries[other].choice];
      if (visit(line, from, slot, other)) {
        MoveChain(row, line);
        return true;
      }
    }
  }
  return false;
}

void LookupPacker::MoveChain(std::vector<Entry>* row, int line) {
  int slot = held_[line].count++;
  while (true) {
    const Visit& visit = visits_[line];
    Entry& entry = (*row)[visit.entry];
    entry.choice = entry.line[1] == line ? 1 : 0;
    held_[line].entry[slot] = visit.entry;
    if (visit.from < 0) return;
    line = visit.from;
    slot = visit.slot;
  }
}

int LookupPacker::LineToWiden() const {
  const auto lacking = [&](int line) {
    return demand_[line] - kStripRows * kBlockEntries * steps_[line];
  };
  return *std::max_element(queue_.begin(), queue_.end(),
                           [&](int a, int b) { return lacking(a) < lacking(b); });
}

void LookupPacker::Emit(bool upwards, LookupStrip* strip) {
  const int lines = places_.lines();
  std::vector<size_t> first(lines);
  for (int i = 0; i < lines; ++i) {
    const int line = upwards ? i : lines - 1 - i;
    first[line] = strip->lines.size() * kBlockEntries;
    strip->lines.insert(strip->lines.end(), steps_[line], static_cast<uint16_t>(line));
  }
  strip->steps.resize(strip->lines.size(), LookupStep{});
  for (int r = 0; r < kStripRows; ++r) {
    next_ = first;
    for (const Entry& entry : rows_[r]) {
      const size_t k = next_[entry.line[entry.choice]]++;
      LookupStep& step = strip->steps[k / kBlockEntries];
      step.column[r][k % kBlockEntries] = entry.column[entry.choice];
      step.weight[r][k % kBlockEntries] = entry.weight;
    }
  }
}

}  // namespace ese
