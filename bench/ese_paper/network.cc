// SPDX-License-Identifier: Apache-2.0
#include "bench/ese_paper/network.h"

#include <cmath>
#include <cstdlib>
#include <random>

#include "bench/ese_paper/paper.h"

namespace ese {
namespace {

// Measured on a dense network of this size that ./run train trained, before any pruning. The values
// are means over the gates; bench/ese_paper/row_spread.py prints them for each gate.
constexpr Spread kInputSpread = {.rows = 0.257, .columns = 0.103};
constexpr Spread kRecurrentSpread = {.rows = 0.156, .columns = 0.063};
constexpr Spread kProjectionSpread = {.rows = 0.047, .columns = 0.121};

Spread Measured(const PaperMatrix& matrix) {
  if (matrix.rows != kPaperCells) return kProjectionSpread;
  return matrix.columns == 153 ? kInputSpread : kRecurrentSpread;
}

int WeightsOfShare(const Magnitudes& matrix) {
  return static_cast<int>(matrix.values.size()) / kPaperPes;
}

}  // namespace

Network::Network(uint64_t seed, double spread) {
  std::mt19937_64 random(seed);
  for (const PaperMatrix& matrix : kPaperMatrices) {
    Spread measured = Measured(matrix);
    matrices_.push_back(RandomMagnitudes(
        matrix.rows, matrix.columns,
        {.rows = measured.rows * spread, .columns = measured.columns * spread}, &random));
  }
}

std::vector<CscMatrix> Network::Pruned(double density, Pruning pruning) const {
  std::vector<CscMatrix> encoded;
  for (const Magnitudes& matrix : matrices_) {
    const int kept = static_cast<int>(std::lround(density * WeightsOfShare(matrix)));
    encoded.push_back(Encode(pruning == Pruning::kBalanced
                                 ? PruneBalanced(matrix, kPaperPes, kept)
                                 : PruneUnbalanced(matrix, kept * kPaperPes),
                             kPaperPes));
  }
  return encoded;
}

std::vector<CscMatrix> Network::OfThePapersSize() const {
  std::vector<CscMatrix> encoded;
  for (size_t i = 0; i < matrices_.size(); ++i) {
    const auto with = [&](int kept) {
      return Encode(PruneBalanced(matrices_[i], kPaperPes, kept), kPaperPes);
    };
    const int words = kPaperMatrices[i].Words();
    // There is never more padding than weights, so at least half of the words hold weights.
    int low = words / 2, high = words;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      (with(middle).Words() > words ? high : low) = middle;
    }
    encoded.push_back(with(high).Words() == words ? with(high) : with(low));
  }
  return encoded;
}

}  // namespace ese
