// SPDX-License-Identifier: Apache-2.0
#include "bench/ese_paper/product.h"

#include <algorithm>
#include <cassert>

namespace ese {

ProductTime TimeProduct(const CscMatrix& matrix, const PeArray& array) {
  const int pes = matrix.pes(), depth = array.queue_depth;
  assert(depth > 0);
  ProductTime time{.cycles = 0, .working = std::vector<int64_t>(pes)};
  std::vector<int64_t> finished(pes);  // the cycle after each PE's last one so far
  // The cycles in which each PE took out the last `depth` activations, indexed by
  // pe * depth + column % depth.
  std::vector<int64_t> taken(static_cast<size_t>(pes) * depth);
  int64_t sent = -1;
  for (int column = 0; column < matrix.columns; ++column) {
    ++sent;
    const int slot = column % depth;
    if (column >= depth) {  // every PE must have taken out activation column - depth
      for (int pe = 0; pe < pes; ++pe) sent = std::max(sent, taken[pe * depth + slot] + 1);
    }
    for (int pe = 0; pe < pes; ++pe) {
      const int entries = matrix.shares[pe].EntriesOf(column);
      const int64_t begin = std::max(finished[pe], sent + 1);
      taken[pe * depth + slot] = begin;
      finished[pe] = begin + (entries > 0 ? entries : array.empty_column_cycles);
      time.working[pe] += entries;
    }
  }
  for (int64_t f : finished) time.cycles = std::max(time.cycles, f);
  return time;
}

}  // namespace ese
