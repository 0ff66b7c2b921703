// SPDX-License-Identifier: Apache-2.0
#include "compiler/prune.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "model/model.h"

namespace ese {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

DenseMatrix Dense(int rows, int columns, std::vector<float> weights) {
  DenseMatrix dense;
  dense.name = {"w", "--density-output"};
  dense.rows = rows;
  dense.columns = columns;
  dense.weights = std::move(weights);
  dense.bias.assign(rows, 0.5);
  return dense;
}

PrunedMatrix MustPrune(const DenseMatrix& dense, const PruneOptions& options) {
  auto pruned = Prune(dense, options);
  EXPECT_TRUE(pruned.ok()) << pruned.status();
  return pruned.ok() ? *pruned : PrunedMatrix();
}

std::vector<int> ColumnsOf(const SparseMatrix& sparse, int row) {
  const auto first = sparse.column.begin() + row * sparse.entries_per_row;
  return {first, first + sparse.entries_per_row};
}

// Expects that columns ascend and that every gap fits into an entry.
void ExpectEncodable(const SparseMatrix& sparse) {
  ASSERT_EQ(sparse.column.size(), size_t(sparse.rows) * sparse.entries_per_row);
  ASSERT_EQ(sparse.weights.size(), sparse.column.size());
  for (int r = 0; r < sparse.rows; ++r) {
    int previous = -1;
    for (const int column : ColumnsOf(sparse, r)) {
      EXPECT_GT(column, previous);
      EXPECT_LE(column - previous - 1, kMaxGap);
      EXPECT_LT(column, sparse.columns);
      previous = column;
    }
  }
}

TEST(PruneTest, KeepsTheLargestMagnitudesOfEachRow) {
  const auto dense = Dense(2, 4, {0.1f, -3, 2, 0.5f, 9, 8, -10, 7});
  const PrunedMatrix pruned = MustPrune(dense, {.density = 0.5});
  EXPECT_EQ(pruned.report.origin, PruneOrigin::kMagnitudes);
  EXPECT_EQ(pruned.matrix.entries_per_row, 2);
  EXPECT_THAT(pruned.matrix.column, ElementsAre(1, 2, 0, 2));
  EXPECT_THAT(pruned.matrix.weights, ElementsAre(-3, 2, 9, -10));
  EXPECT_THAT(pruned.matrix.bias, ElementsAre(0.5, 0.5));
  EXPECT_EQ(pruned.report.zero_entries, 0);
  EXPECT_NEAR(pruned.report.squares_kept, (9 + 4 + 81 + 100) / (13.26 + 294), 1e-6);
}

TEST(PruneTest, TiesGoToTheLowerColumn) {
  const auto dense = Dense(2, 4, {1, -1, 1, -1, 0, 1, -1, 1});
  const PrunedMatrix pruned = MustPrune(dense, {.density = 0.5});
  EXPECT_THAT(pruned.matrix.column, ElementsAre(0, 1, 1, 2));
}

TEST(PruneTest, RowsOfZerosKeepTheirLowestColumns) {
  const PrunedMatrix pruned = MustPrune(Dense(1, 4, {0, 0, 0, 0}), {.density = 0.5});
  EXPECT_THAT(pruned.matrix.column, ElementsAre(0, 1));
  EXPECT_EQ(pruned.report.squares_kept, 1);
}

TEST(PruneTest, KeepsTheShareRoundedHalfUpAndAtLeastOne) {
  const auto entries = [](int columns, double density) {
    const DenseMatrix dense = Dense(1, columns, std::vector<float>(columns, 1.0f));
    return MustPrune(dense, {.density = density}).matrix.entries_per_row;
  };
  EXPECT_EQ(entries(10, 0.24), 2);
  EXPECT_EQ(entries(10, 0.25), 3);
  EXPECT_EQ(entries(665, 0.1), 67);  // 66.5
  EXPECT_EQ(entries(10, 0.001), 1);
  EXPECT_EQ(entries(1, 0.3), 1);
  EXPECT_EQ(entries(10, 1), 10);
}

TEST(PruneTest, DensityOneKeepsEverything) {
  const PrunedMatrix pruned = MustPrune(Dense(1, 3, {1, 0, 2}), {.density = 1});
  EXPECT_THAT(pruned.matrix.column, ElementsAre(0, 1, 2));
  EXPECT_THAT(pruned.matrix.weights, ElementsAre(1, 0, 2));
  EXPECT_EQ(pruned.report.zero_entries, 0);
}

TEST(PruneTest, RefusesImpossibleDensities) {
  for (const double density : {0.0, -0.1, 1.01, std::nan("")}) {
    const auto pruned = Prune(Dense(1, 2, {1, 2}), {.density = density});
    EXPECT_EQ(pruned.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(pruned.status().message(), HasSubstr("a density is above 0 and at most 1"));
  }
}

TEST(PruneTest, WithoutDensityKeepsADenseMatrix) {
  // 19 of 20 are 95 %, so the training did not prune the matrix.
  std::vector<float> weights(20, 1.0f);
  weights[3] = 0;
  const PrunedMatrix pruned = MustPrune(Dense(2, 10, weights), {});
  EXPECT_EQ(pruned.report.origin, PruneOrigin::kDense);
  EXPECT_EQ(pruned.matrix.entries_per_row, 10);
}

TEST(PruneTest, WithoutDensityKeepsAMask) {
  const PrunedMatrix pruned = MustPrune(Dense(2, 4, {0, 1, 0, 2, 3, 0, 4, 0}), {});
  EXPECT_EQ(pruned.report.origin, PruneOrigin::kTraining);
  EXPECT_THAT(pruned.matrix.column, ElementsAre(1, 3, 0, 2));
  EXPECT_THAT(pruned.matrix.weights, ElementsAre(1, 2, 3, 4));
}

TEST(PruneTest, RefusesAnUnequalMaskWithTheRemedy) {
  DenseMatrix dense = Dense(4, 3, {0, 1, 0, 2, 3, 0, 1, 0, 0, 1, 0, 0});
  dense.name = {"w_ih | w_hh", "--density-gates", 1};
  const auto pruned = Prune(dense, {});
  EXPECT_EQ(pruned.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      pruned.status().message(),
      HasSubstr("w_ih | w_hh: training pruned its rows unequally: row 0 (gate i of cell 0) keeps 1 "
                "weights, row 1 (gate f of cell 0) keeps 2; pad the shorter rows with --pad, or "
                "prune again with --density-gates D"));
}

TEST(PruneTest, PadFillsRowsInAscendingUnusedColumns) {
  const auto dense = Dense(3, 4, {0, 1, 0, 2, 0, 5, 0, 0, 0, 0, 0, 0});
  const PrunedMatrix pruned = MustPrune(dense, {.density = {}, .pad = true});
  EXPECT_EQ(pruned.report.origin, PruneOrigin::kTraining);
  EXPECT_THAT(pruned.matrix.column, ElementsAre(1, 3, 0, 1, 0, 1));
  EXPECT_THAT(pruned.matrix.weights, ElementsAre(1, 2, 0, 5, 0, 0));
  EXPECT_EQ(pruned.report.zero_entries, 3);
}

TEST(PruneTest, DensityPrunesAMaskAgain) {
  const PrunedMatrix pruned = MustPrune(Dense(1, 4, {0, 1, 0, 2}), {.density = 0.75});
  EXPECT_EQ(pruned.report.origin, PruneOrigin::kMagnitudes);
  EXPECT_THAT(pruned.matrix.column, ElementsAre(0, 1, 3));
}

// Prunes one row of 2000 columns, whose only kept weight follows a gap of `gap` columns.
PrunedMatrix PruneWithGap(int gap) {
  std::vector<float> weights(2000, 0.25f);
  weights[gap] = 1;
  return MustPrune(Dense(1, 2000, weights), {.density = 1.0 / 2000});
}

TEST(PruneTest, SaysIfADensityKeepsZerosOfASparserMask) {
  const auto dense = Dense(2, 4, {0, 5, 0, 0, 1, 2, 0, 0});
  EXPECT_THAT(MustPrune(dense, {.density = 0.5}).report.notice,
              HasSubstr("w: 1 of the 4 weights that --density-output keeps are zero"));
  EXPECT_EQ(MustPrune(dense, {.density = 0.25}).report.notice, "");
  EXPECT_EQ(MustPrune(dense, {.density = {}, .pad = true}).report.notice, "");
  std::vector<float> dense_but_for_one(21, 1.0f);
  dense_but_for_one[3] = 0;
  EXPECT_EQ(MustPrune(Dense(1, 21, dense_but_for_one), {.density = 1}).report.notice, "");
}

TEST(PruneTest, TheLongestGapThatFitsNeedsNoFiller) {
  const PrunedMatrix pruned = PruneWithGap(511);
  EXPECT_THAT(pruned.matrix.column, ElementsAre(511));
  ExpectEncodable(pruned.matrix);
}

TEST(PruneTest, AGapThatIsOneLongerNeedsAFillerOfZeroWeight) {
  const PrunedMatrix pruned = PruneWithGap(512);
  EXPECT_THAT(pruned.matrix.column, ElementsAre(511, 512));
  EXPECT_THAT(pruned.matrix.weights, ElementsAre(0, 1));
  EXPECT_EQ(pruned.report.zero_entries, 1);
  ExpectEncodable(pruned.matrix);
}

TEST(PruneTest, AVeryLongGapNeedsSeveralFillers) {
  const PrunedMatrix pruned = PruneWithGap(1999);
  EXPECT_THAT(pruned.matrix.column, ElementsAre(511, 1023, 1535, 1999));
  ExpectEncodable(pruned.matrix);
}

TEST(PruneTest, FillersInOneRowPadTheOtherRowsInUnusedColumns) {
  std::vector<float> weights(2 * 1100, 0.0f);
  weights[0] = 1;  // row 0: columns 0 and 1099
  weights[1099] = 2;
  weights[1100 + 0] = 3;  // row 1: columns 0 and 2
  weights[1100 + 2] = 4;
  const PrunedMatrix pruned = MustPrune(Dense(2, 1100, weights), {});
  EXPECT_THAT(ColumnsOf(pruned.matrix, 0), ElementsAre(0, 512, 1024, 1099));
  EXPECT_THAT(ColumnsOf(pruned.matrix, 1), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(pruned.matrix.weights, ElementsAre(1, 0, 0, 2, 3, 0, 4, 0));
  EXPECT_EQ(pruned.report.zero_entries, 4);
  ExpectEncodable(pruned.matrix);
}

TEST(PruneTest, PrunesAOneByOneMatrix) {
  const PrunedMatrix pruned = MustPrune(Dense(1, 1, {0.5f}), {.density = 0.1});
  EXPECT_THAT(pruned.matrix.column, ElementsAre(0));
}

}  // namespace
}  // namespace ese
