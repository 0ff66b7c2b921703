// SPDX-License-Identifier: Apache-2.0
// Tests blocks of the RTL alone: the packed product and the nonlinearities with every possible
// input, and cells, activation memory, FIFO and checksum with random inputs.
#include <gtest/gtest.h>
#include <verilated.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <random>
#include <vector>

#include "Vese_act_mem_act_mem.h"
#include "Vese_cell_cell.h"
#include "Vese_checksum_checksum.h"
#include "Vese_fifo_fifo.h"
#include "Vese_mac_mac.h"
#include "Vese_tanh_tanh.h"
#include "model/arithmetic.h"

namespace ese {
namespace {

template <typename Top>
void Clock(Top* top) {
  top->clk_i = 0;
  top->eval();
  top->clk_i = 1;
  top->eval();
}

constexpr int kTanhLatency = 8;

// Compares tanh of u, or sigmoid of z, for all 65,536 values.
template <typename Expected>
void CompareAll(bool sigmoid, Expected&& expected) {
  VerilatedContext context;
  Vese_tanh_tanh top(&context);
  for (int cycle = 0; cycle < 65536 + kTanhLatency; ++cycle) {
    const int v = std::min(cycle - 32768, 32767);
    top.magnitude_i = static_cast<uint16_t>(std::min(std::abs(v), 32767));
    top.negative_i = v < 0;
    top.sigmoid_i = sigmoid;
    Clock(&top);
    // The result belongs to the inputs of 7 clock edges ago, because this edge was the eighth.
    const int of = cycle - (kTanhLatency - 1) - 32768;
    if (of < -32768 || of > 32767) continue;
    ASSERT_EQ(static_cast<int16_t>(top.result_o), expected(static_cast<int16_t>(of))) << of;
  }
}

TEST(Tanh, EqualsTheArithmeticForEveryInput) {
  CompareAll(false, [](int16_t v) { return Tanh(TanhInput{v}).raw; });
}
TEST(Tanh, SigmoidEqualsTheArithmeticForEveryInput) {
  CompareAll(true, [](int16_t v) { return Sigmoid(PreActivation{v}).raw; });
}

// Every pair of neighboring activations is multiplied by every weight, which makes 8,388,608 packed
// products. Each is applied for two clocks, so that both lanes can be read at the end of the
// pipeline, five clocks later.
TEST(Mac, PackedProductsAreCorrectForAllPairsAndWeights) {
  constexpr int kProducts = 1 << 23, kLatency = 4;
  VerilatedContext context;
  Vese_mac_mac top(&context);
  top.valid_i = top.first_i = top.hold_i = 1;
  const auto lane = [](int product, int k) { return static_cast<int8_t>(product >> (8 * k)); };
  const auto weight = [](int product) { return (product >> 16) - 64; };
  for (int clock = 0; clock < 2 * kProducts + kLatency; ++clock) {
    const int product = std::min(clock / 2, kProducts - 1);
    top.column_i = static_cast<uint16_t>(product);
    top.weight_i = static_cast<uint8_t>(weight(product) & 0x7F);
    top.lane_i = clock % 2;
    Clock(&top);
    if (clock < kLatency) continue;
    const int of = (clock - kLatency) / 2;
    // Sign-extends 26 bits.
    const int sum = static_cast<int32_t>(top.sum_o << 6) >> 6;
    ASSERT_EQ(sum, lane(of, clock % 2) * weight(of)) << of << ", lane " << clock % 2;
  }
}

// Runs one lane of one cell. Its four gate rows go through the whole pipeline one after another.
class CellBench {
 public:
  CellBench() : top_(&context_) {}

  struct Row {
    int32_t sum, bias;
    int16_t peephole;
    int shift;
    Accumulator aligned() const { return {(sum << shift) + bias}; }
  };
  struct Out {
    int32_t logit;
    int8_t y, m;
    int16_t c;
  };
  static constexpr int kYShift = 15;

  void LoadC(int16_t c) {
    top_.load_i = 1;
    top_.load_data_i = static_cast<uint16_t>(c);
    Clock(&top_);
    top_.load_i = 0;
  }
  // Returns the row's results, read in the cycles that ese_cell.sv gives.
  Out Run(const Row& row, int gate, bool g_sigmoid, int m_shift, bool active) {
    top_.row_p2_i = uint64_t(row.shift) << 48 |
                    uint64_t{static_cast<uint16_t>(row.peephole)} << 32 |
                    static_cast<uint32_t>(row.bias);
    top_.sum_p2_i = static_cast<uint32_t>(row.sum) & ((1u << 26) - 1);
    top_.y_shift_p5_i = kYShift;
    top_.m_shift_p18_i = static_cast<uint8_t>(m_shift);
    top_.tanh_p7_i = gate == 2 && !g_sigmoid;
    top_.active_p19_i = active;
    Out out{};
    for (int cycle = 0; cycle <= 28; ++cycle) {
      top_.i_p16_i = cycle == 16 && gate == 0;
      top_.f_p16_i = cycle == 16 && gate == 1;
      top_.update_p19_i = cycle == 19 && gate == 2;
      top_.h_p28_i = cycle == 28 && gate == 2;
      if (cycle == 5) out.logit = static_cast<int32_t>(top_.logit_p5_o);
      if (cycle == 7) out.y = static_cast<int8_t>(top_.y_p7_o);
      if (cycle == 19) out.m = static_cast<int8_t>(top_.m_p19_o);
      if (cycle == 20) out.c = static_cast<int16_t>(top_.c_p20_o);
      Clock(&top_);
    }
    return out;
  }

 private:
  VerilatedContext context_;
  Vese_cell_cell top_;
};

TEST(Cell, EqualsTheArithmetic) {
  std::mt19937 random(1);
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(random() % uint32_t(high - low + 1));
  };
  CellBench bench;
  Cell c{0};
  for (int round = 0; round < 5000; ++round) {
    if (round % 5 == 0) {
      c = {static_cast<int16_t>(between(-32768, 32767))};
      bench.LoadC(c.raw);
    }
    CellBench::Row rows[4];
    for (int gate = 0; gate < 4; ++gate) {
      const auto peephole = static_cast<int16_t>(gate == 2 ? 0 : between(-32768, 32767));
      rows[gate] = {between(-40000, 40000), between(-300000, 300000), peephole, between(0, 7)};
    }
    const bool g_sigmoid = between(0, 1) == 1, active = between(0, 3) > 0;
    const int fraction_bits = between(7, 10);
    CellBench::Out out[4];
    for (int gate = 0; gate < 4; ++gate) {
      out[gate] = bench.Run(rows[gate], gate, g_sigmoid, 15 - fraction_bits, active);
    }

    const auto sum = [&](int gate, Cell at) {
      return Accumulator{rows[gate].aligned().raw + PeepholeTerm({rows[gate].peephole}, at)};
    };
    EXPECT_EQ(out[0].logit, sum(0, c).raw);
    EXPECT_EQ(out[0].y, ToProjected(sum(0, c), 19 - CellBench::kYShift));
    const Gate i = Sigmoid(ToPreActivation(sum(0, c))), f = Sigmoid(ToPreActivation(sum(1, c)));
    const PreActivation z = ToPreActivation(sum(2, c));
    const Cell after = UpdateCell(f, c, i, g_sigmoid ? Sigmoid(z) : Tanh(ToTanhInput(z)));
    EXPECT_EQ(out[2].c, active ? after.raw : c.raw);
    if (active) {
      const Gate o = Sigmoid(ToPreActivation(sum(3, after)));
      EXPECT_EQ(out[3].m, ToHidden(o, Tanh(ToTanhInput(after)), fraction_bits))
          << "round " << round;
      c = after;
    }
  }
}

TEST(Fifo, KeepsOrderAtAnyPace) {
  constexpr size_t kPlaces = 8;
  VerilatedContext context;
  Vese_fifo_fifo top(&context);
  std::mt19937 random(1);
  top.rst_i = 1;
  Clock(&top);
  top.rst_i = 0;
  std::deque<uint16_t> expected;
  size_t fullest = 0;
  for (int cycle = 0; cycle < 20000; ++cycle) {
    // Alternates between phases that push more and phases that pop more.
    const unsigned pushes = cycle / 50 % 2 == 0 ? 3 : 1;
    top.pop_i = top.valid_o && random() % 4 >= pushes;
    if (top.pop_i) {
      ASSERT_EQ(top.data_o, expected.front());
      expected.pop_front();
    }
    top.push_i = expected.size() < kPlaces && random() % 4 < pushes;
    top.data_i = static_cast<uint16_t>(random());
    if (top.push_i) expected.push_back(top.data_i);
    fullest = std::max(fullest, expected.size());
    Clock(&top);
    ASSERT_TRUE(!top.valid_o || !expected.empty());
  }
  EXPECT_EQ(fullest, kPlaces);
}

TEST(Checksum, IsTheSumOfAllWords) {
  VerilatedContext context;
  Vese_checksum_checksum top(&context);
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    top.rst_i = 1;
    for (int k = 0; k < 8; ++k) Clock(&top);
    top.rst_i = 0;
    uint64_t sum = 0;
    for (int cycle = 0; cycle < 100; ++cycle) {
      top.word_i = random() % 2;
      for (int k = 0; k < 4; ++k) {
        const uint64_t word = random();
        if (top.word_i) sum += word;
        top.data_i[2 * k] = static_cast<uint32_t>(word);
        top.data_i[2 * k + 1] = static_cast<uint32_t>(word >> 32);
      }
      Clock(&top);
    }
    top.word_i = 0;
    for (int k = 0; k < 8 && !top.settled_o; ++k) Clock(&top);
    ASSERT_TRUE(top.settled_o);
    ASSERT_EQ(top.sum_o, sum) << "round " << round;
  }
}

TEST(ActivationMemory, KeepsWhatIsWrittenUnderTheMask) {
  constexpr int kColumns = 16, kLanes = 8;
  VerilatedContext context;
  Vese_act_mem_act_mem top(&context);
  std::mt19937 random(1);
  std::vector<uint64_t> expected(kColumns);
  const auto write = [&](int column, uint64_t data, unsigned mask) {
    top.write_i = 1;
    top.read_i = 0;
    top.write_addr_i = static_cast<uint8_t>(column);
    top.write_data_i = data;
    top.write_mask_i = static_cast<uint8_t>(mask);
    Clock(&top);
    for (int lane = 0; lane < kLanes; ++lane) {
      const uint64_t byte = uint64_t{0xFF} << (8 * lane);
      if (mask >> lane & 1) expected[column] = (expected[column] & ~byte) | (data & byte);
    }
  };
  for (int column = 0; column < kColumns; ++column) write(column, 0, 0xFF);
  for (int round = 0; round < 10000; ++round) {
    const uint64_t data = uint64_t{random()} << 32 | random();
    write(static_cast<int>(random() % kColumns), data, random() % 256);
    const unsigned a = random() % kColumns, b = random() % kColumns;
    top.write_i = 0;
    top.read_i = 1;
    top.a_addr_i = static_cast<uint8_t>(a);
    top.b_addr_i = static_cast<uint8_t>(b);
    Clock(&top);
    ASSERT_EQ(top.a_data_o, expected[a]);
    ASSERT_EQ(top.b_data_o, expected[b]);
  }
}

}  // namespace
}  // namespace ese
