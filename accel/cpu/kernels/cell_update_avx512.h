// SPDX-License-Identifier: Apache-2.0
// The cell update, which both algorithms of the AVX-512 kernels share. For kernels' source files
// only: everything here is local to the file that includes it (see kernel.h).
#pragma once

#include <immintrin.h>

#include "accel/cpu/kernels/kernel.h"

namespace ese {
namespace {

#define ESE_INLINE inline __attribute__((always_inline))

// Adds to each dword of sum its four products. (With the intrinsic, gcc 12 copies the sum each
// time.)
struct VnniDot {
  static ESE_INLINE void Add(__m512i& sum, __m512i u8, __m512i s8) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u8), "v"(s8));
  }
};

#define ESE_EACH _Pragma("GCC unroll 8") for (int k = 0; k < N; ++k)

// Registers that go through the functions below side by side, one instruction for each in turn, so
// that the processor works on the others while one waits for a result. In a step of 64 lanes,
// updating eight registers of cells took 35.5 us one at a time, 33 us two at a time, 28 us four at
// a time, and 28.5 us all at once (Zen 4).
template <int N>
struct Registers {
  __m512i v[N];
};

// The scalar functions of model/arithmetic.h for 32 lanes in a register. A rounded Q0.15 product is
// one vpmulhrsw. A table of 32 coefficients is one register, and one vpermw looks up in it.
class Functions {
 public:
  explicit Functions(const TanhTable& table)
      : c0_(_mm512_loadu_si512(table.c0)),
        c1_(_mm512_loadu_si512(table.c1)),
        c2_(_mm512_loadu_si512(table.c2)),
        c3_(_mm512_loadu_si512(table.c3)),
        average_c0_(_mm512_add_epi16(c0_, _mm512_set1_epi16(32767))) {}

  // tanh(S16(2^kShift x)), where kShift is 1 or 2. T is 32767 from n = 21760 on, so the largest
  // multiple of 2^kShift can stand for every argument that saturates.
  template <int kShift, int N>
  ESE_INLINE Registers<N> Tanh(const Registers<N>& x) const {
    const Curve<N> curve = Follow<kShift>(x);
    Registers<N> t;
    ESE_EACH t.v[k] = _mm512_add_epi16(Look(curve.segment[k], c0_), curve.slope[k]);
    ESE_EACH t.v[k] =
        _mm512_mask_sub_epi16(t.v[k], curve.negative[k], _mm512_setzero_si512(), t.v[k]);
    return t;
  }

  // For z >= 0 the result is 2^14 + floor(T / 2) = (c0 + P + 2^15) >> 1: one rounding average of
  // c0 + 32767 and P, which is never negative. The result for -z is 2^15 minus that.
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
  // The signs of the arguments and, for their absolute values, the segment k of (4) and what is
  // added to c0[k].
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

// The new cells (10), from the pre-activations of the gates and the old cells.
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

// m = o tanh(c), before saturation (12).
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
