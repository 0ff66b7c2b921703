// SPDX-License-Identifier: Apache-2.0
// Fixed-point numbers with their Q-format in the type, so that a mismatch does not compile.
//
// Qa.b means a sign, a integer bits and b fraction bits: the raw integer r stands for r * 2^-b.
// docs/arithmetic.md says where each format is used and why.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace ese {

// Saturates to the range of Raw: S8 and S16 in docs/arithmetic.md (equation 2).
template <typename Raw>
constexpr Raw Saturate(int64_t v) {
  constexpr int64_t lo = std::numeric_limits<Raw>::min();
  constexpr int64_t hi = std::numeric_limits<Raw>::max();
  return static_cast<Raw>(v < lo ? lo : (v > hi ? hi : v));
}

// Divides by 2^shift, rounding half up (equation 1). REQUIRES: 0 <= shift < 63.
constexpr int64_t RoundShift(int64_t v, int shift) {
  return shift == 0 ? v : (v + (int64_t{1} << (shift - 1))) >> shift;
}

template <typename RawType, int kFraction>
struct Fixed {
  using Raw = RawType;
  static constexpr int kFractionBits = kFraction;

  Raw raw = 0;

  // The nearest representable value, halves up, saturated. REQUIRES: real is finite.
  static Fixed FromReal(double real) {
    const double scaled = std::floor(std::ldexp(real, kFraction) + 0.5);
    constexpr double lo = std::numeric_limits<Raw>::min();
    constexpr double hi = std::numeric_limits<Raw>::max();
    return Fixed{static_cast<Raw>(scaled < lo ? lo : (scaled > hi ? hi : scaled))};
  }
  double ToReal() const { return std::ldexp(static_cast<double>(raw), -kFraction); }

  friend constexpr bool operator==(Fixed a, Fixed b) { return a.raw == b.raw; }
};

using Accumulator = Fixed<int32_t, 19>;    // Q12.19: aligned row sums, biases, logits
using PreActivation = Fixed<int16_t, 11>;  // Q4.11: gates before their nonlinearity
using Gate = Fixed<int16_t, 15>;           // Q0.15: gates, tanh
using Cell = Fixed<int16_t, 10>;           // Q5.10: cell state c
using Peephole = Fixed<int16_t, 12>;       // Q3.12: diagonal peephole weights
using TanhInput = Fixed<int16_t, 12>;      // Q3.12: beyond +-8, tanh is within half a unit of +-1

}  // namespace ese
