// SPDX-License-Identifier: Apache-2.0
#include "bench/ese_paper/step.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "bench/ese_paper/network.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

constexpr double kIdealMemory = 1e12;  // bytes per cycle

// Matrices of the paper's shapes in which the first `filled` rows of each PE hold weights.
std::vector<CscMatrix> Filled(int filled) {
  std::vector<CscMatrix> matrices;
  for (const PaperMatrix& m : kPaperMatrices) {
    SparseMatrix matrix{.rows = m.rows, .columns = m.columns, .weights = {}};
    matrix.weights.resize(static_cast<size_t>(m.rows) * m.columns);
    std::fill_n(matrix.weights.begin(), static_cast<size_t>(filled) * kPaperPes * m.columns, 1);
    matrices.push_back(Encode(matrix, kPaperPes));
  }
  return matrices;
}

Machine With(double bytes_per_cycle) {
  Machine machine;
  machine.bytes_per_cycle = bytes_per_cycle;
  return machine;
}

size_t StateOf(int product) {
  for (size_t s = 0; s < kStates.size(); ++s) {
    if (kStates[s].product == product) return s;
  }
  ADD_FAILURE() << "no state has product " << product;
  return 0;
}

TEST(StepTest, AStateLastsAsLongAsTheLongerOfProductAndPass) {
  const StepTime step = TimeStep(Filled(3), With(kIdealMemory));
  EXPECT_EQ(step.states[StateOf(0)].Cycles(), 1024 + 48);         // the pass hides the product
  EXPECT_EQ(step.states[StateOf(4)].Cycles(), 1 + 3 * 512 + 48);  // the product hides the pass
  EXPECT_EQ(step.states[StateOf(8)].Cycles(), 1 + 3 * 1024 + 48);
  EXPECT_NEAR(step.Sum().memory, 0, 1e-3);
}

TEST(StepTest, EveryProductOfThePaperIsDoneOnce) {
  std::vector<int> states_of(kPaperMatrices.size());
  for (const State& state : kStates) {
    if (state.product >= 0) ++states_of[state.product];
  }
  EXPECT_EQ(states_of, std::vector<int>(kPaperMatrices.size(), 1));
}

TEST(StepTest, SlowMemoryDecidesAlone) {
  const StepTime step = TimeStep(Filled(3), With(1));
  EXPECT_NEAR(step.Sum().Cycles(), step.load_cycles, 1e-3);
}

TEST(StepTest, AMatrixIsLoadedOneProductAhead) {
  // The W*x matrices load faster than their states run. Wir's load is longer than Wox's state.
  const std::vector<CscMatrix> matrices = Filled(3);
  const StepTime step = TimeStep(matrices, With(100));
  const double load = static_cast<double>(BytesOf(matrices[4])) / 100;
  EXPECT_GT(load, 1024 + 48);
  EXPECT_NEAR(step.states[StateOf(4)].memory, load - (1024 + 48), 1e-6);
  for (int hidden : {0, 1, 2, 3, 5, 6, 7, 8}) EXPECT_EQ(step.states[StateOf(hidden)].memory, 0);
}

TEST(StepTest, ALoadIsWordsAndPointers) {
  EXPECT_EQ(BytesOf(Filled(3)[0]), 3 * 153 * 64 + 153 * 32 * 2);
}

TEST(StepTest, ANetworkOfThePapersSizeHasItsWords) {
  const std::vector<CscMatrix> matrices = Network(1, 1).OfThePapersSize();
  for (size_t i = 0; i < matrices.size(); ++i) {
    EXPECT_NEAR(matrices[i].Words(), kPaperMatrices[i].Words(), 1) << kPaperMatrices[i].name;
  }
}

TEST(StepTest, ThePapersTableAddsUpToItsTotals) {
  int64_t words = 0;
  for (const PaperMatrix& matrix : kPaperMatrices) {
    EXPECT_EQ(matrix.bytes % kPaperBytesOfWord, 0) << matrix.name;
    EXPECT_NEAR(CyclesToUs(matrix.Words()), matrix.theoretical_us, 0.06) << matrix.name;
    words += matrix.Words();
  }
  EXPECT_NEAR(CyclesToUs(static_cast<double>(words)), kPaperTheoreticalUs, 0.1);
}

}  // namespace
}  // namespace ese
