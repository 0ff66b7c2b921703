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
  // spread: how unequal rows and columns are, as a multiple of the measured values (network.cc).
  Network(uint64_t seed, double spread);

  // The encoded matrices in the order of kPaperMatrices. density: the fraction of the weights that
  // is kept in each PE's share (balanced) or in each matrix (unbalanced).
  std::vector<CscMatrix> Pruned(double density, Pruning pruning) const;

  // Pruned in the balanced way, keeping as many weights as fill the words of the paper's table.
  std::vector<CscMatrix> OfThePapersSize() const;

 private:
  std::vector<Magnitudes> matrices_;
};

}  // namespace ese
