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
        c3_(_mm512_loadu_si512(table.c3)) {}

  ESE_INLINE __m512i Tanh(__m512i u) const {
    const __mmask32 negative = _mm512_movepi16_mask(u);
    const __m512i p = Magnitude(u, negative);
    return _mm512_mask_sub_epi16(p, negative, _mm512_setzero_si512(), p);
  }
  ESE_INLINE __m512i Sigmoid(__m512i z) const {
    const __m512i one_half = _mm512_set1_epi16(1 << 14);
    const __mmask32 negative = _mm512_movepi16_mask(z);
    const __m512i half = _mm512_srli_epi16(Magnitude(z, negative), 1);
    return _mm512_mask_sub_epi16(_mm512_add_epi16(one_half, half), negative, one_half, half);
  }

 private:
  // TanhMagnitude of |u|, saturated (4).
  ESE_INLINE __m512i Magnitude(__m512i u, __mmask32 negative) const {
    const __m512i n = _mm512_mask_subs_epi16(u, negative, _mm512_setzero_si512(), u);
    const __m512i k = _mm512_srli_epi16(n, 10);
    const __m512i t = _mm512_and_si512(_mm512_slli_epi16(n, 5), _mm512_set1_epi16(1023 << 5));
    const auto horner = [&](__m512i c, __m512i p) {
      return _mm512_add_epi16(_mm512_permutexvar_epi16(k, c), _mm512_mulhrs_epi16(p, t));
    };
    return horner(c0_, horner(c1_, horner(c2_, _mm512_permutexvar_epi16(k, c3_))));
  }

  __m512i c0_, c1_, c2_, c3_;
};

ESE_INLINE __m512i Twice(__m512i x) { return _mm512_adds_epi16(x, x); }

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
