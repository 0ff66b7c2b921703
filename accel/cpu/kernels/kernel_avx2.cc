// SPDX-License-Identifier: Apache-2.0
// The kernel for AVX2, which has no dot-product instruction. Two multiplications stand in for it:
//
//     u8   a0 b0 c0 d0 ..
//     s8   w0 w1 w2 w3 ..    vpmaddubsw   ab0 cd0 ..   (16 bits)
//     1    1     1           vpmaddwd     sum of four  (32 bits), and vpaddd
//
// vpmaddubsw saturates to 16 bits, but with 7-bit weights no sum gets there: 2 x 64 x 255 < 2^15.
#include "accel/cpu/kernels/kernel.h"

#if defined(__x86_64__)
#include "accel/cpu/kernels/columns_avx2.h"
#include "accel/cpu/kernels/lookup_avx2.h"

namespace ese {
namespace {

struct MultiplyAddDot {
  static ESE_INLINE void Add(__m256i& sum, __m256i u8, __m256i s8) {
    const __m256i pairs = _mm256_maddubs_epi16(u8, s8);
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

class Avx2 final : public Avx2Columns<MultiplyAddDot> {
 public:
  const char* name() const override { return "avx2"; }
  bool Supported() const override { return __builtin_cpu_supports("avx2"); }
  const LookupKernel* lookup() const override { return &lookup_; }

 private:
  Avx2Lookup<MultiplyAddDot> lookup_;
};

}  // namespace

const Kernel* Avx2Kernel() {
  static const Avx2 kernel;
  return &kernel;
}

}  // namespace ese

#else

namespace ese {
const Kernel* Avx2Kernel() { return nullptr; }
}  // namespace ese

#endif
