// What the AVX-512 kernels share. For their files only: everything is local to the file that
// includes it (see kernel.h).
#pragma once

#include <immintrin.h>

#include "accel/cpu/kernel.h"

namespace ese {
namespace {

#define ESE_INLINE inline __attribute__((always_inline))

// sum += u8 x s8 products of each dword. The intrinsic makes gcc 12 copy the sum at every use.
struct VnniDot {
  static ESE_INLINE void Add(__m512i& sum, __m512i u8, __m512i s8) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u8), "v"(s8));
  }
};

// The scalar functions of model/arithmetic.h on 32 lanes. A rounded Q0.15 product is one vpmulhrsw,
// a table of 32 coefficients one register and its look-up one vpermw.
class Functions {
 public:
  explicit Functions(const TanhTable& table)
      : c0_(_mm512_loadu_si512(table.c0)),
        c1_(_mm512_loadu_si512(table.c1)),
        c2_(_mm512_loadu_si512(table.c2)),
        c3_(_mm512_loadu_si512(table.c3)),
        average_c0_(_mm512_add_epi16(c0_, _mm512_set1_epi16(32767))) {}

  // tanh(S16(2^kShift x)), kShift being 1 or 2. T is 32767 from n = 21760 on, so that the largest
  // multiple of 2^kShift stands for all that saturates.
  template <int kShift>
  ESE_INLINE __m512i Tanh(__m512i x) const {
    const __mmask32 negative = _mm512_movepi16_mask(x);
    const __m512i n = _mm512_min_epu16(_mm512_abs_epi16(x), _mm512_set1_epi16(32767 >> kShift));
    const Point point = Locate<kShift>(n);
    const __m512i p = _mm512_add_epi16(_mm512_permutexvar_epi16(point.segment, c0_), Slope(point));
    return _mm512_mask_sub_epi16(p, negative, _mm512_setzero_si512(), p);
  }

  // 2^14 + floor(T / 2) = (c0 + P + 2^15) >> 1 is one rounding average of c0 + 32767 and P, which
  // is never negative; what it lacks to 2^15 is the result for -z.
  ESE_INLINE __m512i Sigmoid(__m512i z) const {
    const __mmask32 negative = _mm512_movepi16_mask(z);
    const Point point = Locate<0>(_mm512_min_epu16(_mm512_abs_epi16(z), _mm512_set1_epi16(32767)));
    const __m512i p =
        _mm512_avg_epu16(_mm512_permutexvar_epi16(point.segment, average_c0_), Slope(point));
    return _mm512_mask_sub_epi16(p, negative, _mm512_set1_epi16(-32768), p);
  }

 private:
  // Where n of (4) lies: its segment, and the position within that in Q0.15.
  struct Point {
    __m512i segment, position;
  };
  // Of 2^kShift n.
  template <int kShift>
  static ESE_INLINE Point Locate(__m512i n) {
    return {_mm512_srli_epi16(n, 10 - kShift),
            _mm512_and_si512(_mm512_slli_epi16(n, 5 + kShift), _mm512_set1_epi16(1023 << 5))};
  }
  // What (4) adds to c0.
  ESE_INLINE __m512i Slope(const Point& point) const {
    const auto coefficient = [&](__m512i c) { return _mm512_permutexvar_epi16(point.segment, c); };
    const auto times = [&](__m512i p) { return _mm512_mulhrs_epi16(p, point.position); };
    const __m512i p2 = _mm512_add_epi16(coefficient(c2_), times(coefficient(c3_)));
    return times(_mm512_add_epi16(coefficient(c1_), times(p2)));
  }

  __m512i c0_, c1_, c2_, c3_;
  __m512i average_c0_;
};

// c' = f c + i g (10).
ESE_INLINE __m512i UpdateCell(__m512i f, __m512i c, __m512i i, __m512i g) {
  const __m512i added = _mm512_mulhrs_epi16(_mm512_mulhrs_epi16(i, g), _mm512_set1_epi16(1 << 10));
  return _mm512_adds_epi16(_mm512_mulhrs_epi16(f, c), added);
}

// m = o tanh(c), still to be saturated (12).
ESE_INLINE __m512i HiddenOf(__m512i o, __m512i tanh_c, int16_t scale) {
  return _mm512_mulhrs_epi16(_mm512_mulhrs_epi16(o, tanh_c), _mm512_set1_epi16(scale));
}

}  // namespace
}  // namespace ese
