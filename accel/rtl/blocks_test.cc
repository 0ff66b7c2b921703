// Blocks of the RTL alone: the packed product and the nonlinearities, for every input there is.
#include <gtest/gtest.h>
#include <verilated.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

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

// Tanh of u, or sigmoid of z, for all 65,536 values one after the other.
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
    // The inputs of 7 clock edges ago: this edge was the eighth.
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

// Every pair of activations beside each other, with every weight: 8,388,608 packed products, each
// shown for two clocks, so that both lanes can be read at the end of the pipe five clocks later.
TEST(Mac, PackedProductsOfAllPairsAndWeights) {
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
    // 26 bits with a sign.
    const int sum = static_cast<int32_t>(top.sum_o << 6) >> 6;
    ASSERT_EQ(sum, lane(of, clock % 2) * weight(of)) << of << ", lane " << clock % 2;
  }
}

}  // namespace
}  // namespace ese
