// SPDX-License-Identifier: Apache-2.0
// Arranges a matrix's entries for look-up (see kernel.h).
#pragma once

#include <cstdint>
#include <vector>

#include "accel/cpu/kernel.h"
#include "model/model.h"

namespace ese {

// Where the columns of a lane's vector lie.
class LookupPlaces {
 public:
  // x and y, each in whole granules; y comes first, so that its own lines are full.
  LookupPlaces(int inputs, int outputs);

  int granules() const { return static_cast<int>(copy_.size()); }
  int lines() const;
  const std::vector<uint16_t>& copy() const { return copy_; }

  int x_granule() const { return x_granule_; }  // x's first one

  // Of column c of [x ; y].
  int GranuleOf(int c) const {
    return c < inputs_ ? x_granule_ + c / kGranule : (c - inputs_) / kGranule;
  }
  // Where it lies in the granule.
  int ByteOf(int c) const { return (c < inputs_ ? c : c - inputs_) % kGranule; }

 private:
  const int inputs_;
  const int x_granule_;
  std::vector<uint16_t> copy_;
};

// A strip's steps; lines[i] is that of steps[i].
struct LookupStrip {
  std::vector<LookupStep> steps;
  std::vector<uint16_t> lines;
};

// Packs strips of one matrix; has the working memory for it. Not thread-safe.
class LookupPacker {
 public:
  // Column c of the matrix lies where places has column c + first_column. Both must outlive it.
  LookupPacker(const Matrix& matrix, const LookupPlaces& places, int first_column);

  // Appends the steps of rows [kStripRows], -1 being a row of zeros; those come last. Steps go
  // through the lines upwards or downwards: where strips alternate, each begins with what the last
  // has left in the first-level cache.
  void Append(const int* rows, bool upwards, LookupStrip* strip);
  // Of row i of the strip that was appended last.
  int32_t SumOfWeights(int i) const { return sums_[i]; }

 private:
  struct Entry {
    uint16_t line[2];   // in which it can be looked up
    uint8_t column[2];  // within that line
    int8_t weight;
    uint8_t choice;  // of the two
  };
  // Entries of a row that are in a line.
  struct Held {
    int count = 0;
    uint16_t entry[kLineColumns];
  };
  // How a search came to a line: the entry in place `slot` of line `from` would move to it, -1
  // being no line.
  struct Visit {
    int attempt = 0;
    int from = 0;
    int slot = 0;
  };

  void ReadRows(const int* rows);
  // Steps for each line by its demand, as few in all as can hold a row's entries; of short rows, as
  // can hold all columns.
  void BeginStrip();
  // Chooses a line for every entry of each row, with no more than four for each step that the line
  // has; adds steps where that cannot be.
  void Route();
  // The first choice for all entries of rows first to end - 1: of its two lines that which needs it
  // more.
  void RouteDirectly(int first, int end);
  // Where row r has chosen a line too often: moves others.
  void RouteRest(int r);
  // Takes one entry out of a line by the shortest chain of entries that move to their other lines.
  // False if there is none; then queue_ has the lines that stand in the way.
  bool Relieve(int r, int line);
  void MoveChain(int r, int line);
  int LineToWiden() const;
  void Emit(bool upwards, LookupStrip* strip);

  int Room(int line) const { return kBlockEntries * steps_[line] - held_[line].count; }
  Entry& At(int r, size_t e) { return entries_[e * kStripRows + r]; }

  const Matrix& matrix_;
  const LookupPlaces& places_;
  std::vector<Entry> columns_;  // an entry of weight 0 for each column
  int rows_ = 0;                // of the strip that are not of zeros; they come first
  std::vector<Entry> entries_;  // [entries of a row][kStripRows]
  int32_t sums_[kStripRows];
  // [kStripRows][lines]: at first, entries that could be looked up there; in RouteDirectly twice
  // the room less those of them that are still to choose.
  std::vector<int> wanted_;
  std::vector<size_t> next_;  // [kStripRows][lines] of the entries in the strip's steps, see Emit
  // [lines]:
  std::vector<int> steps_;   // of the strip
  std::vector<int> demand_;  // entries of the strip that could be looked up in it
  std::vector<Held> held_;
  std::vector<Visit> visits_;
  std::vector<int> queue_;  // lines in the order of their visits
  int attempt_ = 0;
};

}  // namespace ese
