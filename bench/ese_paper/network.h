// SPDX-License-Identifier: Apache-2.0
// The paper's LSTM with random weights, pruned in the paper's two ways.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/ese_paper/csc.h"
#include "bench/ese_paper/masks.h"

namespace ese {

enum class Pruning { kBalanced, kUnbalanced };

class Network {
 public:
  // spread: how unequal rows and columns are, as a multiple of what was measured (network.cc).
  Network(uint64_t seed, double spread);

  // kPaperMatrices' in their order, encoded. density: the share of weights that is kept, of each
  // PE's share or of each matrix.
  std::vector<CscMatrix> Pruned(double density, Pruning pruning) const;

  // Balanced, with as many weights kept as fill the words of the paper's table.
  std::vector<CscMatrix> OfThePapersSize() const;

 private:
  std::vector<Magnitudes> matrices_;
};

}  // namespace ese
