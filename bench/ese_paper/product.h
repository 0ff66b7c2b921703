// SPDX-License-Identifier: Apache-2.0
// How many cycles the paper's PEs need to multiply a sparse matrix by a vector.
//
//                      .-> ActQueue [. . . j j+1] -> PE 0: column j's entries, one a cycle
//   activation j, -----+-> ActQueue [. . j j+1 .] -> PE 1
//   one a cycle        `-> ActQueue [. . . . . j] -> PE 2 ...
//
// Each activation enters the queues of all PEs in the same cycle, which must begin with a free
// place in every queue. A PE that has finished its column takes the next activation out of its
// queue, at the earliest in the cycle after it entered. So PEs with unequal loads fall out of step,
// as far as the depth of the queues allows.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/ese_paper/csc.h"

namespace ese {

struct PeArray {
  int queue_depth = 8;          // activations; the paper tried 1 to 16
  int empty_column_cycles = 1;  // what a PE spends on a column in which it has no entry
};

struct ProductTime {
  int64_t cycles = 0;            // until the last PE has finished
  std::vector<int64_t> working;  // the number of cycles in which each PE multiplied
};

ProductTime TimeProduct(const CscMatrix& matrix, const PeArray& array);

}  // namespace ese
