// SPDX-License-Identifier: Apache-2.0
// The kernel for AVX-512 (F, BW, VL) without VNNI, as in Skylake-SP. A dot product takes three
// instructions:
//
//     u8   a0 b0 c0 d0 ..
//     s8   w0 w1 w2 w3 ..    vpmaddubsw   ab0 cd0 ..   (16 bits)
//     1    1     1           vpmaddwd     sum of four  (32 bits), and vpaddd
//
// vpmaddubsw saturates to 16 bits, but with 7-bit weights no sum gets there: 2 x 64 x 255 < 2^15.
#include "accel/cpu/kernels/kernel.h"

#if defined(__x86_64__)
#include "accel/cpu/kernels/columns_avx512.h"
#include "accel/cpu/kernels/lookup_avx512.h"

namespace ese {
namespace {

struct MultiplyAddDot {
  static ESE_INLINE void Add(__m512i& sum, __m512i u8, __m512i s8) {
    const __m512i pairs = _mm512_maddubs_epi16(u8, s8);
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
  }
};

class Avx512Bw final : public Avx512Columns<MultiplyAddDot> {
 public:
  const char* name() const override { return "avx512bw"; }
  bool Supported() const override {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi");
  }
  const LookupKernel* lookup() const override { return &lookup_; }

 private:
  Avx512Lookup<WordProducts<MultiplyAddDot>> lookup_;
};

}  // namespace

const Kernel* Avx512BwKernel() {
  static const Avx512Bw kernel;
  return &kernel;
}

}  // namespace ese

#else

namespace ese {
const Kernel* Avx512BwKernel() { return nullptr; }
}  // namespace ese

#endif
