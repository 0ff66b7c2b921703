// SPDX-License-Identifier: Apache-2.0
#include "compiler/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "model/arithmetic.h"

namespace ese {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

SparseMatrix OneRow(std::vector<int> columns, std::vector<float> weights, double bias = 0) {
  SparseMatrix matrix;
  matrix.name = {"w", "--density-output"};
  matrix.rows = 1;
  matrix.columns = columns.empty() ? 1 : columns.back() + 1;
  matrix.entries_per_row = static_cast<int>(columns.size());
  matrix.column = std::move(columns);
  matrix.weights = std::move(weights);
  matrix.bias = {bias};
  return matrix;
}

MatrixDraft MustQuantize(const SparseMatrix& matrix, const ColumnFormats& formats) {
  auto draft = Quantize(matrix, formats, {});
  EXPECT_TRUE(draft.ok()) << draft.status();
  return draft.ok() ? *draft : MatrixDraft();
}

std::vector<int> Weights(const MatrixDraft& draft) {
  std::vector<int> weights;
  for (const uint16_t entry : draft.entries) weights.push_back(EntryWeight(entry));
  return weights;
}

std::vector<int> Columns(const MatrixDraft& draft, int row) {
  std::vector<int> columns;
  int column = -1;
  for (int k = 0; k < draft.entries_per_row; ++k) {
    column += EntryGap(draft.entries[row * draft.entries_per_row + k]) + 1;
    columns.push_back(column);
  }
  return columns;
}

absl::Status QuantizeStatus(const SparseMatrix& matrix) {
  return Quantize(matrix, ColumnFormats::Uniform(5), {}).status();
}

TEST(QuantizeTest, ScaleMakesTheLargestWeightFit) {
  // 0.5 * 2^6 = 32 fits, and a scale of 2^7 would clip it to 63.
  const MatrixDraft draft = MustQuantize(OneRow({0, 3}, {0.5f, -0.25f}), ColumnFormats::Uniform(5));
  EXPECT_THAT(Weights(draft), ElementsAre(32, -16));
  EXPECT_THAT(Columns(draft, 0), ElementsAre(0, 3));
  EXPECT_EQ(draft.shift[0], 19 - 5 - 6);
}

TEST(QuantizeTest, RangeIsNotSymmetric) {
  EXPECT_THAT(Weights(MustQuantize(OneRow({0}, {-0.5f}), ColumnFormats::Uniform(5))),
              ElementsAre(-64));
  EXPECT_THAT(Weights(MustQuantize(OneRow({0}, {63.0f / 128}), ColumnFormats::Uniform(5))),
              ElementsAre(63));
  EXPECT_THAT(Weights(MustQuantize(OneRow({0}, {0.5f}), ColumnFormats::Uniform(5))),
              ElementsAre(32));
}

TEST(QuantizeTest, TiesRoundHalfUp) {
  // The first weight gives the scale 2^6, so the others become 10.5 and -10.5.
  const auto row = OneRow({0, 1, 2}, {0.75f, 10.5f / 64, -10.5f / 64});
  const MatrixDraft draft = MustQuantize(row, ColumnFormats::Uniform(5));
  EXPECT_THAT(Weights(draft), ElementsAre(48, 11, -10));
}

TEST(QuantizeTest, ClipsWhereThatCostsLess) {
  // 64 small weights gain more from twice the resolution than one weight loses when 1/64 is
  // clipped.
  std::vector<int> columns;
  std::vector<float> weights;
  for (int c = 0; c < 64; ++c) {
    columns.push_back(c);
    weights.push_back(10.5f / 64);
  }
  weights[0] = 32.0f / 64;
  const MatrixDraft draft = MustQuantize(OneRow(columns, weights), ColumnFormats::Uniform(5));
  EXPECT_EQ(Weights(draft)[0], 63);
  EXPECT_EQ(Weights(draft)[1], 21);
}

TEST(QuantizeTest, RowsOfZerosHaveShiftZero) {
  const MatrixDraft draft = MustQuantize(OneRow({0, 1}, {0, 0}, 0.5), ColumnFormats::Uniform(5));
  EXPECT_THAT(Weights(draft), ElementsAre(0, 0));
  EXPECT_EQ(draft.shift[0], 0);
  EXPECT_EQ(draft.bias[0], 1 << 18);
}

TEST(QuantizeTest, TinyWeightsStopAtShiftZero) {
  const MatrixDraft draft =
      MustQuantize(OneRow({0}, {std::ldexp(3.0f, -14)}), ColumnFormats::Uniform(5));
  EXPECT_THAT(Weights(draft), ElementsAre(3));
  EXPECT_EQ(draft.shift[0], 0);
}

TEST(QuantizeTest, QuantizesTheLargestRepresentableWeight) {
  // A shift of 16 with 7 fraction bits is a scale of 2^-4, so 63 stands for 1008.
  const MatrixDraft draft = MustQuantize(OneRow({0}, {504}), ColumnFormats::Uniform(7));
  EXPECT_EQ(Weights(draft)[0], 63);
  EXPECT_EQ(draft.shift[0], 15);
  EXPECT_THAT(Quantize(OneRow({0}, {1016}), ColumnFormats::Uniform(7), {}).status().message(),
              HasSubstr("w, row 0: its largest weight is beyond 1008"));
}

TEST(QuantizeTest, PartsOfDifferentFormatsShareTheFinerFormat) {
  // x has 4 fraction bits and y' has 7, so a weight of x acts on units that are eight times larger.
  const SparseMatrix row = OneRow({0, 1}, {0.05f, 0.4f});
  const MatrixDraft draft = MustQuantize(row, {.split = 1, .first = 4, .second = 7});
  const int shift = draft.shift[0];
  EXPECT_NEAR(RealWeight(Weights(draft)[0], shift, 4), 0.05, 0.001);
  EXPECT_NEAR(RealWeight(Weights(draft)[1], shift, 7), 0.4, 0.005);
  const MatrixDraft other = MustQuantize(row, {.split = 1, .first = 7, .second = 4});
  EXPECT_NEAR(RealWeight(Weights(other)[0], other.shift[0], 7), 0.05, 0.04);
  EXPECT_NEAR(RealWeight(Weights(other)[1], other.shift[0], 4), 0.4, 0.005);
}

TEST(QuantizeTest, BiasesRoundHalfUp) {
  const double ulp = std::ldexp(1.0, -19);
  const auto bias = [](double real) {
    return MustQuantize(OneRow({0}, {0.5f}, real), ColumnFormats::Uniform(5)).bias[0];
  };
  EXPECT_EQ(bias(1.5), 3 << 18);
  EXPECT_EQ(bias(0.5 * ulp), 1);
  EXPECT_EQ(bias(-0.5 * ulp), 0);
  EXPECT_EQ(bias(-0.51 * ulp), -1);
}

TEST(QuantizeTest, EntriesDecodeToTheQuantizedWeightsOfRandomMatrices) {
  std::mt19937 random(1);
  SparseMatrix matrix;
  matrix.name = {"w", "--density-output"};
  matrix.rows = 20;
  matrix.columns = 1500;
  matrix.entries_per_row = 9;
  for (int r = 0; r < matrix.rows; ++r) {
    int column = -1;
    for (int k = 0; k < matrix.entries_per_row; ++k) {
      column += 1 + static_cast<int>(random() % 160);
      matrix.column.push_back(column);
      matrix.weights.push_back(static_cast<float>(random() % 2001) / 1000 - 1);
    }
    matrix.bias.push_back(0);
  }
  const MatrixDraft draft = MustQuantize(matrix, ColumnFormats::Uniform(5));
  ASSERT_EQ(draft.entries.size(), matrix.weights.size());
  for (int r = 0; r < matrix.rows; ++r) {
    const std::vector<int> columns = Columns(draft, r);
    for (int k = 0; k < matrix.entries_per_row; ++k) {
      const size_t i = size_t(r) * matrix.entries_per_row + k;
      EXPECT_EQ(columns[k], matrix.column[i]);
      const double step = RealWeight(1, draft.shift[r], 5);
      const double ideal = std::floor(matrix.weights[i] / step + 0.5);
      EXPECT_EQ(EntryWeight(draft.entries[i]), std::min(std::max(ideal, -64.0), 63.0));
    }
  }
}

TEST(QuantizeTest, RefusesSumsThatCouldExceed32BitsWithRowAndRemedy) {
  const int n = 1100;  // 1100 * 1 * 4 (x at its limit) exceeds 4096
  std::vector<int> columns;
  for (int c = 0; c < n; ++c) columns.push_back(c);
  SparseMatrix matrix = OneRow(columns, std::vector<float>(n, 1.0f));
  matrix.name = {"w_ih | w_hh", "--density-gates", 3};
  const absl::Status status = QuantizeStatus(matrix);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("w_ih | w_hh, row 0 (gate i of cell 0)"));
  EXPECT_THAT(status.message(), HasSubstr("a 32-bit sum must stay below 4096"));
  EXPECT_THAT(status.message(), HasSubstr("--density-gates"));
}

TEST(QuantizeTest, AcceptsABiasUpToTheBound) {
  constexpr double kLimit = 4096 - 0.5;  // 2^31 minus the rounding margin of 2^18
  const double ulp = std::ldexp(1.0, -19);
  EXPECT_TRUE(QuantizeStatus(OneRow({0}, {0}, kLimit - ulp)).ok());
  EXPECT_FALSE(QuantizeStatus(OneRow({0}, {0}, kLimit)).ok());
  EXPECT_TRUE(QuantizeStatus(OneRow({0}, {0}, -kLimit + ulp)).ok());
  EXPECT_FALSE(QuantizeStatus(OneRow({0}, {0}, -kLimit)).ok());
  EXPECT_FALSE(QuantizeStatus(OneRow({0}, {0}, 1e30)).ok());
}

TEST(QuantizeTest, PeepholesCountTowardsTheBound) {
  SparseMatrix gates = OneRow({0}, {0}, 4096 - 0.5 - 200);
  gates.name.cells = 1;
  // A peephole of 4 adds at most 4 * 32 = 128, and a peephole of nearly 8 adds nearly 256.
  EXPECT_TRUE(Quantize(gates, ColumnFormats::Uniform(5), {4 << 12, 0, 0}).ok());
  EXPECT_FALSE(Quantize(gates, ColumnFormats::Uniform(5), {32767, 0, 0}).ok());
  EXPECT_FALSE(Quantize(gates, ColumnFormats::Uniform(5), {-32768, 0, 0}).ok());
  EXPECT_TRUE(Quantize(gates, ColumnFormats::Uniform(5), {0, 32767, 32767}).ok());
}

TEST(QuantizeTest, RefusesPeepholesOutsideTheirFormatByName) {
  LayerTopology layer;
  layer.prefix = "lstm.";
  layer.suffix = "_l0";
  EXPECT_THAT(*QuantizePeepholes(layer, {0.5f, -8, 7.9997f}), ElementsAre(2048, -32768, 32767));
  const auto refused = QuantizePeepholes(layer, {0, 0, 0, 0, 8, 0});
  EXPECT_THAT(refused.status().message(),
              HasSubstr("lstm.weight_cf_l0: the peephole of cell 1 is 8, outside [-8, 8)"));
}

TEST(QuantizeTest, WeightSnrIsExactWithoutError) {
  const SparseMatrix real = OneRow({0, 2}, {0.5f, -0.25f});
  const MatrixDraft draft = MustQuantize(real, ColumnFormats::Uniform(5));
  const Matrix view = ViewOf(draft);
  EXPECT_EQ(WeightSnrDb(real, view, ColumnFormats::Uniform(5)),
            std::numeric_limits<double>::infinity());
  // A pruned weight counts as error.
  const SparseMatrix more = OneRow({0, 1, 2}, {0.5f, 0.25f, -0.25f});
  EXPECT_NEAR(WeightSnrDb(more, view, ColumnFormats::Uniform(5)), 10 * std::log10(6.0), 1e-9);
}

TEST(QuantizeTest, ComputesDecibelsOfZero) {
  EXPECT_EQ(Decibels(0, 0), std::numeric_limits<double>::infinity());
  EXPECT_EQ(Decibels(0, 1), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(Decibels(100, 1), 20);
}

}  // namespace
}  // namespace ese
