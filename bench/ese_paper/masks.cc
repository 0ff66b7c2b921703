// SPDX-License-Identifier: Apache-2.0
#include "bench/ese_paper/masks.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

namespace ese {
namespace {

std::vector<float> Scales(int count, double spread, std::mt19937_64* random) {
  std::lognormal_distribution<float> scale(0, static_cast<float>(spread));
  std::vector<float> scales(count);
  for (float& s : scales) s = spread > 0 ? scale(*random) : 1;
  return scales;
}

// Keeps the `kept` largest weights among `places`, and reorders `places`.
void KeepLargest(const Magnitudes& magnitudes, int kept, std::vector<size_t>* places,
                 SparseMatrix* mask) {
  assert(kept >= 0 && static_cast<size_t>(kept) <= places->size());
  std::nth_element(places->begin(), places->begin() + kept, places->end(),
                   [&](size_t a, size_t b) { return magnitudes.values[a] > magnitudes.values[b]; });
  for (int i = 0; i < kept; ++i) mask->weights[(*places)[i]] = 1;
}

SparseMatrix Empty(const Magnitudes& magnitudes) {
  return {.rows = magnitudes.rows,
          .columns = magnitudes.columns,
          .weights = std::vector<int16_t>(magnitudes.values.size())};
}

}  // namespace

Magnitudes RandomMagnitudes(int rows, int columns, Spread spread, std::mt19937_64* random) {
  const std::vector<float> row_scales = Scales(rows, spread.rows, random);
  const std::vector<float> column_scales = Scales(columns, spread.columns, random);
  Magnitudes magnitudes{.rows = rows, .columns = columns, .values = {}};
  magnitudes.values.reserve(static_cast<size_t>(rows) * columns);
  std::normal_distribution<float> normal;
  for (float row_scale : row_scales) {
    for (float column_scale : column_scales) {
      magnitudes.values.push_back(std::fabs(normal(*random)) * row_scale * column_scale);
    }
  }
  return magnitudes;
}

SparseMatrix PruneBalanced(const Magnitudes& magnitudes, int pes, int kept) {
  assert(pes > 0 && magnitudes.rows % pes == 0);
  SparseMatrix mask = Empty(magnitudes);
  std::vector<size_t> places;
  for (int pe = 0; pe < pes; ++pe) {
    places.clear();
    for (int row = pe; row < magnitudes.rows; row += pes) {
      const size_t begin = static_cast<size_t>(row) * magnitudes.columns;
      for (int column = 0; column < magnitudes.columns; ++column) places.push_back(begin + column);
    }
    KeepLargest(magnitudes, kept, &places, &mask);
  }
  return mask;
}

SparseMatrix PruneUnbalanced(const Magnitudes& magnitudes, int kept) {
  SparseMatrix mask = Empty(magnitudes);
  std::vector<size_t> places(magnitudes.values.size());
  std::iota(places.begin(), places.end(), size_t{0});
  KeepLargest(magnitudes, kept, &places, &mask);
  return mask;
}

}  // namespace ese
