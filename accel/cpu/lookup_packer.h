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

  // Appends the steps of rows [kStripRows], -1 being a row of zeros. They go through the lines
  // upwards or downwards: where strips alternate, each begins with what the last has left in the
  // first-level cache.
  void Append(const int* rows, bool upwards, LookupStrip* strip);
  // Of row i of the strip that was appended last.
  int32_t SumOfWeights(int i) const;

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
  // How a search came to a line: `entry` would move to it from place `slot` of line `from`, -1
  // being the entry that has no line yet.
  struct Visit {
    int attempt = 0;
    int from = 0;
    int slot = 0;
    uint16_t entry = 0;
  };

  void ReadRow(int r, std::vector<Entry>* row);
  // Steps for each line by its demand, as few in all as can hold a row's entries.
  void BeginStrip();
  // Chooses a line for every entry of each row, with no more than four for each step that the line
  // has; adds steps where that cannot be.
  void Route();
  // The first choice: for each entry the emptier one of its lines. What finds neither with room
  // goes to left_.
  void RouteDirectly();
  // The rest of row r, by moving others.
  void RouteRest(int r);
  // Puts entry e in one of its lines by the shortest chain of entries that move to their other
  // lines. False if there is none; then queue_ has the lines that stand in the way.
  bool PlaceByMoving(std::vector<Entry>* row, int e);
  void MoveChain(std::vector<Entry>* row, int line);
  int LineToWiden() const;
  int Room(int line) const { return kBlockEntries * steps_[line] - held_[line].count; }
  void Emit(bool upwards, LookupStrip* strip);

  const Matrix& matrix_;
  const LookupPlaces& places_;
  std::vector<Entry> columns_;  // an entry of weight 0 for each column
  std::vector<Entry> rows_[kStripRows];
  std::vector<uint16_t> left_[kStripRows];
  std::vector<int16_t> room_;  // [kStripRows][lines], in RouteDirectly
  // [lines]:
  std::vector<int> steps_;   // of the strip
  std::vector<int> demand_;  // entries of the strip that could be looked up in it
  std::vector<Held> held_;
  std::vector<Visit> visits_;
  std::vector<size_t> next_;  // of the entries in the strip's steps, see Emit
  std::vector<int> queue_;    // lines in the order of their visits
  int attempt_ = 0;
};

}  // namespace ese
