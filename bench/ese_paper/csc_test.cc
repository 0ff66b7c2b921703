// SPDX-License-Identifier: Apache-2.0
#include "bench/ese_paper/csc.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace ese {
namespace {

SparseMatrix Random(int rows, int columns, double density, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int> weight(1, kCscMaxWeight);
  std::bernoulli_distribution kept(density), negative(0.5);
  SparseMatrix matrix{.rows = rows, .columns = columns, .weights = {}};
  for (int i = 0; i < rows * columns; ++i) {
    const int value = kept(random) ? weight(random) : 0;
    matrix.weights.push_back(static_cast<int16_t>(negative(random) ? -value : value));
  }
  return matrix;
}

// One column for one PE, with weights in the rows `kept`.
SparseMatrix Column(int rows, const std::vector<int>& kept) {
  SparseMatrix matrix{.rows = rows, .columns = 1, .weights = std::vector<int16_t>(rows)};
  for (int row : kept) matrix.weights[row] = 7;
  return matrix;
}

// Counts row by row: a weight more than 16 rows after the last entry needs a padding entry 16 rows
// after that one.
int64_t PaddingByWalking(const SparseMatrix& matrix, int pes) {
  int64_t padding = 0;
  for (int pe = 0; pe < pes; ++pe) {
    for (int column = 0; column < matrix.columns; ++column) {
      int last = -1;
      for (int i = 0; pe + i * pes < matrix.rows; ++i) {
        if (matrix.At(pe + i * pes, column) == 0) continue;
        while (i - last > 16) {
          last += 16;
          ++padding;
        }
        last = i;
      }
    }
  }
  return padding;
}

int64_t Kept(const SparseMatrix& matrix) {
  int64_t kept = 0;
  for (int16_t weight : matrix.weights) kept += weight != 0;
  return kept;
}

TEST(CscTest, RoundTripsAndPadsAsCountedByWalking) {
  uint64_t seed = 0;
  for (int pes : {1, 2, 3, 32}) {
    for (int rows_of_pe : {1, 15, 16, 17, 33, 50}) {
      for (double density : {0.0, 0.02, 0.1, 0.5, 1.0}) {
        const SparseMatrix matrix = Random(pes * rows_of_pe, 9, density, ++seed);
        const CscMatrix encoded = Encode(matrix, pes);
        EXPECT_EQ(Decode(encoded).weights, matrix.weights);
        EXPECT_EQ(encoded.padding, PaddingByWalking(matrix, pes));
        EXPECT_EQ(encoded.Entries(), Kept(matrix) + encoded.padding);
      }
    }
  }
}

TEST(CscTest, KeepsTheLargestWeightsOfBothSigns) {
  SparseMatrix matrix = Column(4, {});
  matrix.weights = {kCscMaxWeight, -kCscMaxWeight, 1, -1};
  EXPECT_EQ(Decode(Encode(matrix, 1)).weights, matrix.weights);
}

TEST(CscTest, AGapOf15FitsAndOf16Pads) {
  EXPECT_EQ(Encode(Column(64, {15}), 1).padding, 0);
  EXPECT_EQ(Encode(Column(64, {16}), 1).padding, 1);
  EXPECT_EQ(Encode(Column(64, {5, 21}), 1).padding, 0);
  EXPECT_EQ(Encode(Column(64, {5, 22}), 1).padding, 1);
  EXPECT_EQ(Encode(Column(64, {31}), 1).padding, 1);
  EXPECT_EQ(Encode(Column(64, {32}), 1).padding, 2);
}

TEST(CscTest, TheGapRestartsAtEachColumn) {
  SparseMatrix matrix{.rows = 16, .columns = 2, .weights = std::vector<int16_t>(32)};
  matrix.weights[0] = 3;           // row 0 of column 0
  matrix.weights[15 * 2 + 1] = 4;  // row 15 of column 1
  EXPECT_EQ(Encode(matrix, 1).padding, 0);
}

TEST(CscTest, NothingIsStoredAfterAColumnsLastWeight) {
  EXPECT_EQ(Encode(Column(64, {0}), 1).Entries(), 1);
  EXPECT_EQ(Encode(Column(64, {}), 1).Entries(), 0);
}

TEST(CscTest, WordsAreTheLongestShares) {
  SparseMatrix matrix = Column(6, {0, 2, 4, 1});  // PE 0: rows 0, 2, 4; PE 1: row 1
  const CscMatrix encoded = Encode(matrix, 2);
  EXPECT_EQ(encoded.Words(), 3);
  EXPECT_EQ(encoded.Entries(), 4);
}

// In the paper's sizes, 1024 rows over 32 PEs need padding, and the projection's 512 rows never do.
TEST(CscTest, PadsNinePercentOf32RowsAtTenPercentAndNothingOf16) {
  const CscMatrix gates = Encode(Random(1024, 512, 0.1, 1), 32);
  const double weights = static_cast<double>(gates.Entries() - gates.padding);
  // A weight at row r >= 16 is padded if the 16 rows before it are zeros. Summed over those rows of
  // the PE's 32, the expected padding is 9.1 % of the weights.
  EXPECT_GT(gates.padding / weights, 0.085);
  EXPECT_LT(gates.padding / weights, 0.097);
  EXPECT_EQ(Encode(Random(512, 1024, 0.1, 2), 32).padding, 0);
}

}  // namespace
}  // namespace ese
