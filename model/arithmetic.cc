// SPDX-License-Identifier: Apache-2.0
#include "model/arithmetic.h"

#include <algorithm>
#include <cstdlib>

namespace ese {

const TanhSegments kTanhSegments = {
#include "model/tanh_segments.inc"
};

int16_t TanhMagnitude(int16_t magnitude) {
  const int segment = magnitude >> 10;
  const auto t = static_cast<int16_t>((magnitude & 1023) << 5);
  int16_t p = kTanhSegments.c3[segment];
  p = static_cast<int16_t>(kTanhSegments.c2[segment] + MultiplyQ15(p, t));
  p = static_cast<int16_t>(kTanhSegments.c1[segment] + MultiplyQ15(p, t));
  p = static_cast<int16_t>(kTanhSegments.c0[segment] + MultiplyQ15(p, t));
  return p;
}

namespace {

int16_t Magnitude(int16_t v) { return static_cast<int16_t>(std::min(std::abs(int32_t{v}), 32767)); }

}  // namespace

Gate Tanh(TanhInput u) {
  const int16_t magnitude = TanhMagnitude(Magnitude(u.raw));
  return {static_cast<int16_t>(u.raw < 0 ? -magnitude : magnitude)};
}

// sigmoid(z) = (1 + tanh(z / 2)) / 2: the bits of z in Q4.11 are those of z / 2 in Q3.12.
Gate Sigmoid(PreActivation z) {
  const int half = TanhMagnitude(Magnitude(z.raw)) >> 1;
  constexpr int kOneHalf = 1 << 14;
  return {static_cast<int16_t>(z.raw < 0 ? kOneHalf - half : kOneHalf + half)};
}

}  // namespace ese
