// SPDX-License-Identifier: Apache-2.0
#include "model/arithmetic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "model/log_softmax.h"

namespace ese {
namespace {

constexpr int kLow = -32768;
constexpr int kHigh = 32767;

TEST(RoundShiftTest, TiesGoUp) {
  EXPECT_EQ(RoundShift(3, 1), 2);    // 1.5
  EXPECT_EQ(RoundShift(-3, 1), -1);  // -1.5
  EXPECT_EQ(RoundShift(-1, 1), 0);   // -0.5
  EXPECT_EQ(RoundShift(127, 8), 0);
  EXPECT_EQ(RoundShift(128, 8), 1);
  EXPECT_EQ(RoundShift(-128, 8), 0);
  EXPECT_EQ(RoundShift(-129, 8), -1);
  EXPECT_EQ(RoundShift(5, 0), 5);
}

TEST(SaturateTest, SaturatesAtBothEnds) {
  EXPECT_EQ(Saturate<int8_t>(128), 127);
  EXPECT_EQ(Saturate<int8_t>(127), 127);
  EXPECT_EQ(Saturate<int8_t>(-129), -128);
  EXPECT_EQ(Saturate<int16_t>(40000), kHigh);
  EXPECT_EQ(Saturate<int16_t>(-40000), kLow);
}

TEST(FixedTest, FromRealRoundsHalfUpAndSaturates) {
  EXPECT_EQ(Cell::FromReal(0.5 / 1024).raw, 1);
  EXPECT_EQ(Cell::FromReal(-0.5 / 1024).raw, 0);
  EXPECT_EQ(Cell::FromReal(1e9).raw, kHigh);
  EXPECT_EQ(Cell::FromReal(-1e9).raw, kLow);
  EXPECT_DOUBLE_EQ(PreActivation{2048}.ToReal(), 1.0);
}

TEST(MultiplyQ15Test, TiesGoUp) {
  EXPECT_EQ(MultiplyQ15(1, 1 << 14), 1);   // 0.5
  EXPECT_EQ(MultiplyQ15(-1, 1 << 14), 0);  // -0.5
  EXPECT_EQ(MultiplyQ15(-3, 1 << 14), -1);
  EXPECT_EQ(MultiplyQ15(kHigh, kHigh), 32766);
  EXPECT_EQ(MultiplyQ15(kLow, kHigh), -32767);
}

// Proves that the kernels may add coefficients in 16 bits without saturation.
TEST(TanhTest, NoIntermediateResultOfTheCubicExceeds16Bits) {
  for (int u = 0; u <= kHigh; ++u) {
    const int segment = u >> 10;
    const auto t = static_cast<int16_t>((u & 1023) << 5);
    int p = kTanhSegments.c3[segment];
    for (const int c :
         {kTanhSegments.c2[segment], kTanhSegments.c1[segment], kTanhSegments.c0[segment]}) {
      p = c + MultiplyQ15(static_cast<int16_t>(p), t);
      ASSERT_GE(p, kLow) << u;
      ASSERT_LE(p, kHigh) << u;
    }
    ASSERT_GE(p, 0) << u;
  }
}

// Kernels compute sigmoid as the average of unsigned numbers, one of which is what the cubic adds
// to c0, and replace an argument that saturates with a smaller one. This proves that both are
// correct.
TEST(TanhTest, NeverFallsBelowTheStartOfItsSegmentAndEndsFlat) {
  for (int u = 0; u <= kHigh; ++u) {
    ASSERT_GE(Tanh({static_cast<int16_t>(u)}).raw, kTanhSegments.c0[u >> 10]) << u;
  }
  for (int u = 21760; u <= kHigh; ++u) ASSERT_EQ(Tanh({static_cast<int16_t>(u)}).raw, kHigh) << u;
}

TEST(TanhTest, EveryInputIsWithinTwoLsb) {
  double worst = 0;
  for (int u = kLow; u <= kHigh; ++u) {
    const double exact = std::tanh(u / 4096.0) * 32768;
    worst = std::max(worst, std::abs(Tanh({static_cast<int16_t>(u)}).raw - exact));
  }
  EXPECT_LE(worst, 1.76);
}

TEST(TanhTest, IsOddAndZeroAtZero) {
  EXPECT_EQ(Tanh({0}).raw, 0);
  for (int u = 1; u <= kHigh; ++u) {
    const auto plus = static_cast<int16_t>(u);
    const auto minus = static_cast<int16_t>(-u);
    ASSERT_EQ(Tanh({minus}).raw, -Tanh({plus}).raw) << u;
  }
  // -32768 has no positive counterpart, so it counts as -32767.
  EXPECT_EQ(Tanh({kLow}).raw, Tanh({-32767}).raw);
}

TEST(SigmoidTest, EveryInputIsWithinTwoLsb) {
  double worst = 0;
  for (int z = kLow; z <= kHigh; ++z) {
    const double exact = 32768 / (1 + std::exp(-z / 2048.0));
    worst = std::max(worst, std::abs(Sigmoid({static_cast<int16_t>(z)}).raw - exact));
  }
  EXPECT_LE(worst, 2.0);
}

TEST(SigmoidTest, IsSymmetricAboutOneHalf) {
  EXPECT_EQ(Sigmoid({0}).raw, 1 << 14);
  for (int z = 1; z <= kHigh; ++z) {
    const auto plus = static_cast<int16_t>(z);
    const auto minus = static_cast<int16_t>(-z);
    ASSERT_EQ(Sigmoid({plus}).raw + Sigmoid({minus}).raw, 1 << 15) << z;
  }
  EXPECT_EQ(Sigmoid({kHigh}).raw, 32767);
  EXPECT_EQ(Sigmoid({kLow}).raw, 1);
}

TEST(ToTanhInputTest, SaturatesBeyondEight) {
  EXPECT_EQ(ToTanhInput(PreActivation{16384}).raw, kHigh);
  EXPECT_EQ(ToTanhInput(PreActivation{16383}).raw, 32766);
  EXPECT_EQ(ToTanhInput(PreActivation{-16384}).raw, kLow);
  EXPECT_EQ(ToTanhInput(PreActivation{-16385}).raw, kLow);
  EXPECT_EQ(ToTanhInput(Cell{8192}).raw, kHigh);
  EXPECT_EQ(ToTanhInput(Cell{8191}).raw, 32764);
  EXPECT_EQ(ToTanhInput(Cell{-8193}).raw, kLow);
}

TEST(ToPreActivationTest, RoundsHalfUpAndSaturates) {
  EXPECT_EQ(ToPreActivation({128}).raw, 1);
  EXPECT_EQ(ToPreActivation({127}).raw, 0);
  EXPECT_EQ(ToPreActivation({-128}).raw, 0);
  EXPECT_EQ(ToPreActivation({-129}).raw, -1);
  EXPECT_EQ(ToPreActivation({kHigh * 256 + 127}).raw, kHigh);
  EXPECT_EQ(ToPreActivation({kHigh * 256 + 128}).raw, kHigh);
  EXPECT_EQ(ToPreActivation({INT32_MIN}).raw, kLow);
}

TEST(PeepholeTermTest, RoundsHalfUp) {
  EXPECT_EQ(PeepholeTerm({1}, {4}), 1);
  EXPECT_EQ(PeepholeTerm({1}, {-4}), 0);
  EXPECT_EQ(PeepholeTerm({kLow}, {kLow}), 1 << 27);
}

TEST(UpdateCellTest, SaturatesAtBothEnds) {
  EXPECT_EQ(UpdateCell({32767}, {kHigh}, {32767}, {32767}).raw, kHigh);
  EXPECT_EQ(UpdateCell({32767}, {kLow}, {32767}, {-32767}).raw, kLow);
  EXPECT_EQ(UpdateCell({32767}, {-100}, {1}, {0}).raw, -100);
}

TEST(ToHiddenTest, RoundsHalfUpAndSaturates) {
  EXPECT_EQ(ToHidden({32767}, {32767}, 7), 127);
  EXPECT_EQ(ToHidden({32767}, {-32767}, 7), -128);
  EXPECT_EQ(ToHidden({32767}, {129}, 7), 1);  // 128.99 rounds to 129, 129/256 to 1
  EXPECT_EQ(ToHidden({32767}, {127}, 7), 0);
  EXPECT_EQ(ToHidden({32767}, {17}, 10), 1);  // units of 2^-10: 16.99 rounds to 17, 17/32 to 1
  EXPECT_EQ(ToHidden({32767}, {15}, 10), 0);
  EXPECT_EQ(ToHidden({32767}, {4048}, 10), 127);
  EXPECT_EQ(ToHidden({32767}, {8000}, 10), 127);
  EXPECT_EQ(ToHidden({-32767}, {8000}, 10), -128);
}

TEST(ToProjectedTest, RoundsHalfUpAndSaturates) {
  EXPECT_EQ(ToProjected({1 << 13}, 5), 1);
  EXPECT_EQ(ToProjected({(1 << 13) - 1}, 5), 0);
  EXPECT_EQ(ToProjected({-(1 << 13)}, 5), 0);
  EXPECT_EQ(ToProjected({INT32_MAX}, 5), 127);
  EXPECT_EQ(ToProjected({INT32_MIN}, 5), -128);
}

TEST(QuantizeInputTest, RoundsHalfUpAndSaturates) {
  EXPECT_EQ(QuantizeInput(0.5f / 32, 5), 1);
  EXPECT_EQ(QuantizeInput(-0.5f / 32, 5), 0);
  EXPECT_EQ(QuantizeInput(3.97f, 5), 127);
  EXPECT_EQ(QuantizeInput(4.0f, 5), 127);
  EXPECT_EQ(QuantizeInput(-4.0f, 5), -128);
  EXPECT_EQ(QuantizeInput(-1e30f, 5), -128);
}

TEST(DigitsTest, SplitAndJoinAreInverseAndKeepTheLowDigitAWeight) {
  for (int value = JoinDigits({-128, -64}); value <= JoinDigits({127, 63}); ++value) {
    const Digits digits = SplitDigits(value);
    ASSERT_EQ(JoinDigits(digits), value);
    ASSERT_TRUE(digits.low >= kMinWeight && digits.low <= kMaxWeight) << value;
    ASSERT_TRUE(digits.high >= -128 && digits.high <= 127) << value;
  }
  for (const int value : {kMinFineWeight, kMaxFineWeight}) {
    EXPECT_GE(SplitDigits(value).high, kMinWeight);
    EXPECT_LE(SplitDigits(value).high, kMaxWeight);
  }
}

TEST(QuantizeWideInputTest, RoundsHalfUpAndSaturates) {
  const auto joined = [](float value) { return JoinDigits(QuantizeWideInput(value, 5)); };
  EXPECT_EQ(joined(0.5f / 4096), 1);
  EXPECT_EQ(joined(-0.5f / 4096), 0);
  EXPECT_EQ(joined(-0.75f / 4096), -1);
  EXPECT_EQ(joined(1.5f), 6144);
  for (const float large : {4.0f, 1e30f, std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(joined(large), JoinDigits({127, 63}));
    EXPECT_EQ(joined(-large - 1), JoinDigits({-128, -64}));
  }
  EXPECT_EQ(joined(NAN), JoinDigits({-128, -64}));
  for (int value = JoinDigits({-128, -64}); value <= JoinDigits({127, 63}); ++value) {
    ASSERT_EQ(joined(static_cast<float>(value) / 4096), value);
  }
}

TEST(QuantizeInputTest, RoundsLikeFloorForEveryInput) {
  for (int k = -150 * 64; k <= 150 * 64; ++k) {
    const float value = static_cast<float>(k) / (64 * 32);
    const float exact = std::floor(value * 32 + 0.5f);
    ASSERT_EQ(QuantizeInput(value, 5), std::clamp(exact, -128.0f, 127.0f)) << value;
  }
}

std::vector<float> LogSoftmaxOf(const std::vector<int32_t>& logits) {
  std::vector<float> out(logits.size());
  LogSoftmax(logits, absl::MakeSpan(out));
  return out;
}

TEST(LogSoftmaxTest, IsCloseToTheExactValue) {
  uint32_t bits = 1;
  for (int round = 0; round < 200; ++round) {
    std::vector<int32_t> logits;
    for (int k = 0; k < 1 + round; ++k) {
      bits = bits * 1664525u + 1013904223u;
      logits.push_back(static_cast<int32_t>(bits) >> (round % 12));
    }
    const double largest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const int32_t l : logits) sum += std::exp(std::ldexp(l - largest, -19));
    const std::vector<float> out = LogSoftmaxOf(logits);
    for (size_t k = 0; k < logits.size(); ++k) {
      const double exact = std::ldexp(logits[k] - largest, -19) - std::log(sum);
      ASSERT_NEAR(out[k], exact, 1e-6 * std::max(1.0, -exact)) << round;
    }
  }
}

TEST(LogSoftmaxTest, ExtremesAreFinite) {
  EXPECT_EQ(LogSoftmaxOf({5})[0], 0.0f);
  const std::vector<float> out = LogSoftmaxOf({INT32_MIN, INT32_MAX});
  EXPECT_EQ(out[0], -8192.0f);
  EXPECT_NEAR(out[1], 0.0f, 1e-9);
}

// The golden bits are the exact values rounded to float. They are the same on every processor and
// with every compiler.
TEST(LogSoftmaxTest, EqualsTheGoldenBits) {
  const std::vector<float> out = LogSoftmaxOf({0, 1 << 19, -(3 << 18), 777777});
  EXPECT_EQ(out,
            (std::vector<float>{-0x1.0fa53p+1f, -0x1.1f4a5ep+0f, -0x1.cfa53p+1f, -0x1.47087cp-1f}));
}

}  // namespace
}  // namespace ese
