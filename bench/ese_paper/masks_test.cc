// SPDX-License-Identifier: Apache-2.0
#include "bench/ese_paper/masks.h"

#include <algorithm>
#include <limits>
#include <random>

#include "gtest/gtest.h"

namespace ese {
namespace {

// Among the rows for which `chosen` is true, no dropped magnitude exceeds a kept one.
template <typename Chosen>
void ExpectLargestKept(const Magnitudes& magnitudes, const SparseMatrix& mask, int kept,
                       Chosen chosen) {
  float smallest_kept = std::numeric_limits<float>::infinity(), largest_dropped = 0;
  int count = 0;
  for (int row = 0; row < mask.rows; ++row) {
    if (!chosen(row)) continue;
    for (int column = 0; column < mask.columns; ++column) {
      const float value = magnitudes.values[row * mask.columns + column];
      if (mask.At(row, column) != 0) {
        smallest_kept = std::min(smallest_kept, value);
        ++count;
      } else {
        largest_dropped = std::max(largest_dropped, value);
      }
    }
  }
  EXPECT_EQ(count, kept);
  EXPECT_GE(smallest_kept, largest_dropped);
}

Magnitudes Uneven(double rows) {
  std::mt19937_64 random(3);
  return RandomMagnitudes(128, 40, {.rows = rows, .columns = 0.1}, &random);
}

TEST(MasksTest, BalancedKeepsTheLargestOfEachShareInEqualNumbers) {
  const Magnitudes magnitudes = Uneven(0.5);
  for (int kept : {0, 1, 23, 159, 160}) {
    const SparseMatrix mask = PruneBalanced(magnitudes, 32, kept);
    for (int pe = 0; pe < 32; ++pe) {
      ExpectLargestKept(magnitudes, mask, kept, [pe](int row) { return row % 32 == pe; });
    }
  }
}

TEST(MasksTest, UnbalancedKeepsTheLargestOfTheMatrix) {
  const Magnitudes magnitudes = Uneven(0.5);
  for (int kept : {0, 1, 500, 5120}) {
    ExpectLargestKept(magnitudes, PruneUnbalanced(magnitudes, kept), kept,
                      [](int) { return true; });
  }
}

TEST(MasksTest, UnequalRowsMakeTheLongestShareLonger) {
  const int64_t alike = Encode(PruneUnbalanced(Uneven(0), 1024), 32).Words();
  const int64_t unequal = Encode(PruneUnbalanced(Uneven(0.5), 1024), 32).Words();
  EXPECT_GT(unequal, alike);
}

}  // namespace
}  // namespace ese
