// SPDX-License-Identifier: Apache-2.0
#include "bench/ese_paper/product.h"

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace ese {
namespace {

SparseMatrix Random(int rows, int columns, double density, std::mt19937_64* random) {
  std::bernoulli_distribution kept(density);
  std::uniform_int_distribution<int> weight(1, kCscMaxWeight);
  SparseMatrix matrix{.rows = rows, .columns = columns, .weights = {}};
  for (int i = 0; i < rows * columns; ++i) {
    matrix.weights.push_back(static_cast<int16_t>(kept(*random) ? weight(*random) : 0));
  }
  return matrix;
}

// A PE that is simulated cycle by cycle, with a real queue of the activations' column numbers.
struct NaivePe {
  std::deque<int> queue;
  int column = -1;  // the one it works on, or -1
  int done = 0;     // the column's entries so far, or cycles if it has none
  int row = -1;     // the row within its share of the last entry
};

// Simulates every cycle in turn and multiplies every entry as it comes.
class NaiveMachine {
 public:
  NaiveMachine(const CscMatrix& matrix, const PeArray& array, std::vector<int64_t> x)
      : y(matrix.rows), matrix_(matrix), array_(array), x_(std::move(x)), pes_(matrix.pes()) {
    for (const PeShare& share : matrix.shares) times_multiplied.emplace_back(share.entries.size());
  }

  void Run() {
    while (true) {
      const bool room = std::all_of(pes_.begin(), pes_.end(), [&](const NaivePe& pe) {
        return static_cast<int>(pe.queue.size()) < array_.queue_depth;
      });
      bool worked = false;
      for (int p = 0; p < matrix_.pes(); ++p) worked |= Work(p);
      const bool sends = room && next_column_ < matrix_.columns;
      if (sends) {
        for (NaivePe& pe : pes_) pe.queue.push_back(next_column_);
        ++next_column_;
      }
      if (!worked && !sends && next_column_ == matrix_.columns) return;
      ++cycles;
    }
  }

  int64_t cycles = 0;
  std::vector<int64_t> y;
  std::vector<std::vector<int>> times_multiplied;

 private:
  // Runs one cycle of a PE. Returns false if it had nothing to do.
  bool Work(int p) {
    NaivePe& pe = pes_[p];
    const PeShare& share = matrix_.shares[p];
    while (pe.column < 0 || Finished(pe, share)) {
      if (pe.queue.empty()) return false;
      pe = {.queue = pe.queue, .column = pe.queue.front()};
      pe.queue.pop_front();
    }
    if (share.EntriesOf(pe.column) > 0) {
      const int i = share.column_begin[pe.column] + pe.done;
      ++times_multiplied[p][i];
      pe.row += (share.entries[i] & 15) + 1;
      y[p + pe.row * matrix_.pes()] +=
          int64_t{static_cast<int16_t>(share.entries[i]) >> 4} * x_[pe.column];
    }
    ++pe.done;
    return true;
  }
  bool Finished(const NaivePe& pe, const PeShare& share) const {
    const int entries = share.EntriesOf(pe.column);
    return pe.done >= (entries > 0 ? entries : array_.empty_column_cycles);
  }

  const CscMatrix& matrix_;
  const PeArray array_;
  const std::vector<int64_t> x_;
  std::vector<NaivePe> pes_;
  int next_column_ = 0;
};

std::vector<int64_t> Product(const SparseMatrix& matrix, const std::vector<int64_t>& x) {
  std::vector<int64_t> y(matrix.rows);
  for (int row = 0; row < matrix.rows; ++row) {
    for (int column = 0; column < matrix.columns; ++column) {
      y[row] += matrix.At(row, column) * x[column];
    }
  }
  return y;
}

TEST(ProductTest, EqualsACycleByCycleMachineThatMultipliesEveryEntryOnce) {
  std::mt19937_64 random(1);
  std::uniform_int_distribution<int64_t> activation(-1000, 1000);
  for (int pes : {1, 2, 3, 8}) {
    for (int depth : {1, 2, 3, 8, 16}) {
      for (double density : {0.03, 0.2, 0.6}) {
        const SparseMatrix matrix = Random(pes * 20, 30, density, &random);
        std::vector<int64_t> x(matrix.columns);
        for (int64_t& value : x) value = activation(random);
        const CscMatrix encoded = Encode(matrix, pes);
        const PeArray array{.queue_depth = depth, .empty_column_cycles = 1};

        NaiveMachine naive(encoded, array, x);
        naive.Run();
        EXPECT_EQ(TimeProduct(encoded, array).cycles, naive.cycles)
            << pes << " PEs, depth " << depth << ", density " << density;
        EXPECT_EQ(naive.y, Product(matrix, x));
        const std::vector<int64_t> working = TimeProduct(encoded, array).working;
        for (int pe = 0; pe < pes; ++pe) {
          EXPECT_EQ(naive.times_multiplied[pe],
                    std::vector<int>(encoded.shares[pe].entries.size(), 1));
          EXPECT_EQ(working[pe], static_cast<int64_t>(encoded.shares[pe].entries.size()));
        }
      }
    }
  }
}

// A matrix whose encoding has loads[pe][column] entries.
CscMatrix Loads(const std::vector<std::vector<int>>& loads, int rows_of_pe) {
  const int pes = static_cast<int>(loads.size()), columns = static_cast<int>(loads[0].size());
  SparseMatrix matrix{.rows = pes * rows_of_pe, .columns = columns, .weights = {}};
  matrix.weights.resize(static_cast<size_t>(matrix.rows) * columns);
  for (int pe = 0; pe < pes; ++pe) {
    for (int column = 0; column < columns; ++column) {
      for (int i = 0; i < loads[pe][column]; ++i) {
        matrix.weights[static_cast<size_t>(pe + i * pes) * columns + column] = 1;
      }
    }
  }
  return Encode(matrix, pes);
}

int64_t Cycles(const CscMatrix& matrix, int depth) {
  return TimeProduct(matrix, {.queue_depth = depth, .empty_column_cycles = 1}).cycles;
}

TEST(ProductTest, EqualLoadsNeverWait) {
  const CscMatrix matrix = Loads({{4, 4, 4, 4}, {4, 4, 4, 4}}, 8);
  EXPECT_EQ(Cycles(matrix, 1), 1 + 16);  // the first activation takes a cycle to enter
}

TEST(ProductTest, ADeepQueueLetsPesFallOutOfStep) {
  // Two PEs, each busy for four columns while the other has little to do.
  const CscMatrix matrix = Loads({{8, 8, 8, 8, 1, 1, 1, 1}, {1, 1, 1, 1, 8, 8, 8, 8}}, 8);
  EXPECT_EQ(Cycles(matrix, 16), 1 + 36);  // the longest share
  EXPECT_GT(Cycles(matrix, 2), Cycles(matrix, 16));
  EXPECT_GT(Cycles(matrix, 1), Cycles(matrix, 2));
}

TEST(ProductTest, AnEmptyColumnCostsWhatTheArraySays) {
  const CscMatrix matrix = Loads({{0, 0, 0, 3}}, 4);
  EXPECT_EQ(TimeProduct(matrix, {.queue_depth = 8, .empty_column_cycles = 1}).cycles, 1 + 6);
  EXPECT_EQ(TimeProduct(matrix, {.queue_depth = 8, .empty_column_cycles = 2}).cycles, 1 + 9);
}

}  // namespace
}  // namespace ese
