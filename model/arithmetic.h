// SPDX-License-Identifier: Apache-2.0
// The scalar functions of ESE's normative arithmetic: every back end returns the same bits as
// these. Numbers in brackets are the equations of docs/arithmetic.md.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "model/fixed_point.h"

namespace ese {

// The number of fraction bits dropped when an aligned row sum becomes a pre-activation (8).
inline constexpr int kPreActivationShift =
    Accumulator::kFractionBits - PreActivation::kFractionBits;
// The shift that rounds a peephole product p * c (Q8.22) to the format of the row sum (7).
inline constexpr int kPeepholeShift =
    Peephole::kFractionBits + Cell::kFractionBits - Accumulator::kFractionBits;
// The largest left shift that aligns a row sum (7).
inline constexpr int kMaxRowShift = 16;
inline constexpr int kMinWeight =
    -64;  // 7 bits, so that 16-bit sums of two products cannot saturate
inline constexpr int kMaxWeight = 63;
// An entry of a matrix with fine entries counts 2^kFineBits times as much as a fine entry (7). The
// same holds for the two digits of a wide input (15).
inline constexpr int kFineBits = 7;

// A number of two digits, 2^kFineBits * high + low. The low digit is in [-64, 63], so it is a valid
// weight.
struct Digits {
  int high = 0;
  int low = 0;
};
constexpr Digits SplitDigits(int value) {
  const int high = (value + (1 << (kFineBits - 1))) >> kFineBits;
  return {high, value - high * (1 << kFineBits)};
}
constexpr int JoinDigits(Digits digits) { return digits.high * (1 << kFineBits) + digits.low; }
// The range of weights with two digits, each of them a valid weight.
inline constexpr int kMinFineWeight = JoinDigits({kMinWeight, kMinWeight});
inline constexpr int kMaxFineWeight = JoinDigits({kMaxWeight, kMaxWeight});

// The 32 segments of the piecewise cubic for tanh on [0, 8): T(u) = ((c3 t + c2) t + c1) t + c0,
// where t is the low 10 bits of u as a Q0.15 fraction of the segment. Coefficients are Q0.15.
struct TanhSegments {
  std::array<int16_t, 32> c0, c1, c2, c3;
};
extern const TanhSegments kTanhSegments;

// The product of Q0.15 and any 16-bit format, rounded half up: one vpmulhrsw (3).
// REQUIRES: not both operands are -32768.
constexpr int16_t MultiplyQ15(int16_t a, int16_t b) {
  return static_cast<int16_t>((int32_t{a} * int32_t{b} + (1 << 14)) >> 15);
}

// tanh of a non-negative Q3.12 argument, in [0, 32767] (4).
int16_t TanhMagnitude(int16_t magnitude);

Gate Tanh(TanhInput u);         // (5) odd-symmetric; at most 1.75 LSB of Q0.15 from tanh
Gate Sigmoid(PreActivation z);  // (6) sigmoid(z) + sigmoid(-z) = 1; at most 2 LSB off

// Convert a pre-activation or a cell to the format of tanh's argument, with saturation (9, 11).
inline TanhInput ToTanhInput(PreActivation z) { return {Saturate<int16_t>(2 * int32_t{z.raw})}; }
inline TanhInput ToTanhInput(Cell c) { return {Saturate<int16_t>(4 * int32_t{c.raw})}; }

// A pre-activation from an aligned row sum (8).
inline PreActivation ToPreActivation(Accumulator sum) {
  return {Saturate<int16_t>(RoundShift(sum.raw, kPreActivationShift))};
}

// The term that a peephole adds to an aligned row sum, Q12.19 (7).
inline int32_t PeepholeTerm(Peephole p, Cell c) {
  return static_cast<int32_t>(RoundShift(int32_t{p.raw} * int32_t{c.raw}, kPeepholeShift));
}

// c' = f c + i g (10).
inline Cell UpdateCell(Gate f, Cell c, Gate i, Gate g) {
  const int16_t kept = MultiplyQ15(f.raw, c.raw);
  const int16_t added = MultiplyQ15(MultiplyQ15(i.raw, g.raw), 1 << Cell::kFractionBits);
  return {Saturate<int16_t>(int32_t{kept} + int32_t{added})};
}

// m = o tanh(c), rounded to 8 bits with `fraction_bits` fraction bits (12).
inline int8_t ToHidden(Gate o, Gate tanh_c, int fraction_bits) {
  const auto scale = static_cast<int16_t>(1 << fraction_bits);
  return Saturate<int8_t>(MultiplyQ15(MultiplyQ15(o.raw, tanh_c.raw), scale));
}

// A projected output with `fraction_bits` fraction bits from an aligned row sum (13).
inline int8_t ToProjected(Accumulator sum, int fraction_bits) {
  return Saturate<int8_t>(RoundShift(sum.raw, Accumulator::kFractionBits - fraction_bits));
}

// A normalised input feature as 8 bits with `fraction_bits` fraction bits (15). NaN becomes -128.
inline int8_t QuantizeInput(float value, int fraction_bits) {
  // Saturating before rounding down gives the same result and needs no library call.
  float scaled = value * static_cast<float>(1 << fraction_bits) + 0.5f;
  scaled = scaled > -128.0f ? scaled : -128.0f;
  scaled = scaled < 127.5f ? scaled : 127.5f;
  const int truncated = static_cast<int>(scaled);
  return static_cast<int8_t>(truncated - (scaled < static_cast<float>(truncated) ? 1 : 0));
}

// A normalised input feature as two digits (15). The high digit has `fraction_bits` fraction bits,
// and the whole number kFineBits more. NaN becomes the least number.
inline Digits QuantizeWideInput(float value, int fraction_bits) {
  constexpr auto kLeast = static_cast<float>(JoinDigits({-128, -64}));
  constexpr auto kMost = static_cast<float>(JoinDigits({127, 63})) + 0.5f;
  float scaled = value * static_cast<float>(1 << (fraction_bits + kFineBits)) + 0.5f;
  scaled = scaled > kLeast ? scaled : kLeast;
  scaled = scaled < kMost ? scaled : kMost;
  const int truncated = static_cast<int>(scaled);
  return SplitDigits(truncated - (scaled < static_cast<float>(truncated) ? 1 : 0));
}

}  // namespace ese
