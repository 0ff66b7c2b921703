// SPDX-License-Identifier: Apache-2.0
// What the AVX-512 kernels share. For their files only: everything is local to the file that
// includes it (see kernel.h).
#pragma once

#include <immintrin.h>

#include "accel/cpu/kernels/kernel.h"

namespace ese {
namespace {

#define ESE_INLINE inline __attribute__((always_inline))

// sum += u8 x s8 products of each dword. The intrinsic makes gcc 12 copy the sum at every use.
struct VnniDot {
  static ESE_INLINE void Add(__m512i& sum, __m512i u8, __m512i s8) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u8), "v"(s8));
  }
};

#define ESE_EACH _Pragma("GCC unroll 8") for (int k = 0; k < N; ++k)

// Registers that go through the functions below side by side, an instruction of each in turn: what
// one waits for, the others fill. Updates of eight registers of cells took 35.5 us of a step of 64
// lanes one by one, by twos 33, by fours 28, all at once 28.5 (Zen 4).
template <int N>
struct Registers {
  __m512i v[N];
};

// The scalar functions of model/arithmetic.h on 32 lanes a register. A rounded Q0.15 product is one
// vpmulhrsw, a table of 32 coefficients one register and its look-up one vpermw.
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
  template <int kShift, int N>
  ESE_INLINE Registers<N> Tanh(const Registers<N>& x) const {
    const Curve<N> curve = Follow<kShift>(x);
    Registers<N> t;
    ESE_EACH t.v[k] = _mm512_add_epi16(Look(curve.segment[k], c0_), curve.slope[k]);
    ESE_EACH t.v[k] =
        _mm512_mask_sub_epi16(t.v[k], curve.negative[k], _mm512_setzero_si512(), t.v[k]);
    return t;
  }

  // 2^14 + floor(T / 2) = (c0 + P + 2^15) >> 1 is one rounding average of c0 + 32767 and P, which
  // is never negative; what it lacks to 2^15 is the result for -z.
  template <int N>
  ESE_INLINE Registers<N> Sigmoid(const Registers<N>& z) const {
    const Curve<N> curve = Follow<0>(z);
    Registers<N> s;
    ESE_EACH s.v[k] = _mm512_avg_epu16(Look(curve.segment[k], average_c0_), curve.slope[k]);
    ESE_EACH s.v[k] =
        _mm512_mask_sub_epi16(s.v[k], curve.negative[k], _mm512_set1_epi16(-32768), s.v[k]);
    return s;
  }

 private:
  // Of the absolute value: the segment of (4), and what is added to its c0.
  template <int N>
  struct Curve {
    __mmask32 negative[N];
    __m512i segment[N], slope[N];
  };
  static ESE_INLINE __m512i Look(__m512i segment, __m512i coefficients) {
    return _mm512_permutexvar_epi16(segment, coefficients);
  }
  template <int kShift, int N>
  ESE_INLINE Curve<N> Follow(const Registers<N>& x) const {
    Curve<N> at;
    __m512i n[N], position[N];  // position: within the segment, in Q0.15
    ESE_EACH at.negative[k] = _mm512_movepi16_mask(x.v[k]);
    ESE_EACH n[k] = _mm512_min_epu16(_mm512_abs_epi16(x.v[k]), _mm512_set1_epi16(32767 >> kShift));
    ESE_EACH at.segment[k] = _mm512_srli_epi16(n[k], 10 - kShift);
    ESE_EACH position[k] =
        _mm512_and_si512(_mm512_slli_epi16(n[k], 5 + kShift), _mm512_set1_epi16(1023 << 5));
    const auto times = [&](__m512i p, int k) { return _mm512_mulhrs_epi16(p, position[k]); };
    ESE_EACH at.slope[k] = times(Look(at.segment[k], c3_), k);
    ESE_EACH at.slope[k] = _mm512_add_epi16(at.slope[k], Look(at.segment[k], c2_));
    ESE_EACH at.slope[k] = times(at.slope[k], k);
    ESE_EACH at.slope[k] = _mm512_add_epi16(at.slope[k], Look(at.segment[k], c1_));
    ESE_EACH at.slope[k] = times(at.slope[k], k);
    return at;
  }

  __m512i c0_, c1_, c2_, c3_;
  __m512i average_c0_;
};

// From the gates' pre-activations and the cells before.
template <int N>
ESE_INLINE Registers<N> UpdateCells(const Functions& functions, bool g_is_sigmoid,
                                    const Registers<N>& zi, const Registers<N>& zf,
                                    const Registers<N>& zg, const Registers<N>& c) {
  const Registers<N> i = functions.Sigmoid(zi);
  const Registers<N> g = g_is_sigmoid ? functions.Sigmoid(zg) : functions.Tanh<1>(zg);
  const Registers<N> f = functions.Sigmoid(zf);
  Registers<N> updated;  // c' = f c + i g (10)
  ESE_EACH {
    const __m512i ig = _mm512_mulhrs_epi16(i.v[k], g.v[k]);
    updated.v[k] = _mm512_adds_epi16(_mm512_mulhrs_epi16(f.v[k], c.v[k]),
                                     _mm512_mulhrs_epi16(ig, _mm512_set1_epi16(1 << 10)));
  }
  return updated;
}

// m = o tanh(c), still to be saturated (12).
template <int N>
ESE_INLINE Registers<N> Hidden(const Functions& functions, const Registers<N>& zo,
                               const Registers<N>& c, int16_t scale) {
  const Registers<N> o = functions.Sigmoid(zo), tanh = functions.Tanh<2>(c);
  Registers<N> m;
  ESE_EACH m.v[k] =
      _mm512_mulhrs_epi16(_mm512_mulhrs_epi16(o.v[k], tanh.v[k]), _mm512_set1_epi16(scale));
  return m;
}

}  // namespace
}  // namespace ese
