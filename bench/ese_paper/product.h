// SPDX-License-Identifier: Apache-2.0
// Cycles of one product of a sparse matrix with a vector on the paper's PEs.
//
//                      .-> ActQueue [. . . j j+1] -> PE 0: column j's entries, one a cycle
//   activation j, -----+-> ActQueue [. . j j+1 .] -> PE 1
//   one a cycle        `-> ActQueue [. . . . . j] -> PE 2 ...
//
// Each activation goes to the queues of all PEs at once, in a cycle that began with a place free in
// every one. A PE that has finished its column takes the next activation out of its queue, from the
// cycle after it went in. So PEs fall out of step by their loads, as far as the queues let them.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/ese_paper/csc.h"

namespace ese {

struct PeArray {
  int queue_depth = 8;          // activations; the paper tried 1 to 16
  int empty_column_cycles = 1;  // that a PE spends on a column of which it has no entry
};

struct ProductTime {
  int64_t cycles = 0;            // until the last PE has finished
  std::vector<int64_t> working;  // cycles that each PE multiplied
};

ProductTime TimeProduct(const CscMatrix& matrix, const PeArray& array);

}  // namespace ese
