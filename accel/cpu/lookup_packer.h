// SPDX-License-Identifier: Apache-2.0
// Arranges the entries of a matrix in tiles for look-up (kernels/kernel.h explains strips, lines
// and tiles).
//
// Each entry can be looked up in either of two lines. A line that has t tiles in a strip takes up
// to 4 t entries of each row. The packer assigns every entry to one of its lines and uses as few
// tiles in total as it can: for each row this is a bipartite matching between the row's entries and
// the room in the lines.
#pragma once

#include <cstdint>
#include <vector>

#include "accel/cpu/kernels/kernel.h"
#include "accel/cpu/lookup_layout.h"
#include "model/model.h"

namespace ese {

// The tiles of successive strips; lines[i] is the line of tiles[i].
struct LookupTiles {
  std::vector<LookupTile> tiles;
  std::vector<uint16_t> lines;
};

// Packs strips of one matrix and owns the working memory for it. Not thread-safe.
class LookupPacker {
 public:
  // `layout` places column c of the matrix as its column c + first_column. The matrix and the
  // layout must outlive the packer.
  LookupPacker(const Matrix& matrix, const LookupLayout& layout, int first_column);

  // Appends the tiles of the strip of rows [kStripRows] to *out. A row of -1 is a row of zeros;
  // such rows come last. The tiles go through the lines upwards or downwards: if strips alternate,
  // each strip begins with the lines that the previous strip has left in the first-level cache.
  void Append(const int* rows, bool upwards, LookupTiles* out);
  // The sum of the weights in row i of the strip that was appended last.
  int32_t SumOfWeights(int i) const { return sums_[i]; }

 private:
  struct Entry {
    uint16_t line[2];   // the lines in which it can be looked up
    uint8_t column[2];  // its column within each
    int8_t weight;
    uint8_t choice;  // the line that it is assigned to: 0 or 1
  };
  // The entries of one row that are assigned to a line.
  struct Assigned {
    int count = 0;
    uint16_t entry[kLineColumns];
  };
  // How the search for an augmenting path reached a line: the entry at index `slot` of line `from`
  // would move here. `from` is -1 at the line where the search began.
  struct Visit {
    int search = 0;  // the number of the search that made this visit
    int from = 0;
    int slot = 0;
  };

  // Reads the strip's entries and counts the candidates for each line.
  void ReadRows(const int* rows);
  // Gives each line a number of tiles in proportion to its candidates. The total is the fewest
  // tiles that hold a row's entries. If rows are short, each line that covers the columns gets one
  // tile.
  void AllotTiles();
  // Assigns every entry of each row to a line that has room for it. Adds tiles if there is no such
  // assignment.
  void AssignLines();
  // Makes a first assignment for all entries of rows first to end - 1: each entry goes to whichever
  // of its lines has more slack.
  void AssignGreedily(int first, int end);
  // Moves entries of row r out of lines that have more of them than room.
  void RepairRow(int r);
  // Takes one entry of row r out of an overfull line. For this it searches breadth-first for a
  // shortest augmenting path of the row's matching, and moves all entries on the path. A path is a
  // chain of entries that each move to their other line, the last one to a line with room. Returns
  // false if there is no such path; queue_ then has all lines that the search reached, and none of
  // them has room.
  bool MoveAlongAugmentingPath(int r, int line);
  // Moves the entries of row r on the path that the search found to `line`.
  void ApplyPath(int r, int line);
  // The line in queue_ with the largest shortage of room for its candidates.
  int LineToWiden() const;
  // Writes the strip's tiles.
  void Emit(bool upwards, LookupTiles* out);

  int Room(int line) const { return kBlockEntries * tiles_[line] - assigned_[line].count; }
  Entry& At(int r, size_t e) { return entries_[e * kStripRows + r]; }

  const Matrix& matrix_;
  const LookupLayout& layout_;
  std::vector<Entry> columns_;  // [columns of the matrix]: an entry of weight 0 for each

  // The strip that is being packed.
  int rows_ = 0;                // rows that are not zeros; they come first
  std::vector<Entry> entries_;  // [entries in a row][kStripRows]
  int32_t sums_[kStripRows] = {};
  std::vector<int> candidates_;  // [kStripRows][lines]: how many of the row's entries have the line
  // [kStripRows][lines], in half entries: the line's room, minus the entries assigned to it, minus
  // half of the entries that have this line and are not assigned yet.
  std::vector<int> slack_;
  std::vector<size_t> next_;  // [kStripRows][lines]: where Emit writes the next entry

  // [lines]
  std::vector<int> tiles_;   // tiles of the strip
  std::vector<int> demand_;  // candidates of all rows
  std::vector<Assigned> assigned_;
  std::vector<Visit> visits_;

  std::vector<int> queue_;  // the lines that the search has reached, in order
  int search_ = 0;          // the number of the current search
};

}  // namespace ese
