// SPDX-License-Identifier: Apache-2.0
// The kernel for AVX2 with AVX-VNNI but without AVX-512: Alder Lake and later. A dot product is one
// vpdpbusd.
#include "accel/cpu/kernels/kernel.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include "accel/cpu/kernels/columns_avx2.h"
#include "accel/cpu/kernels/lookup_avx2.h"

namespace ese {
namespace {

struct VnniDot {
  static ESE_INLINE void Add(__m256i& sum, __m256i u8, __m256i s8) {
    sum = _mm256_dpbusd_avx_epi32(sum, u8, s8);
  }
};

// AVX-VNNI is CPUID 7.1 EAX[4]; clang 14 has no name for it. Support for AVX2 shows that the
// operating system saves 256-bit registers.
bool HasAvxVnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 &&
         (a >> 4 & 1) != 0;
}

class AvxVnni final : public Avx2Columns<VnniDot> {
 public:
  const char* name() const override { return "avxvnni"; }
  bool Supported() const override { return HasAvxVnni(); }
  const LookupKernel* lookup() const override { return &lookup_; }

 private:
  Avx2Lookup<VnniDot> lookup_;
};

}  // namespace

const Kernel* AvxVnniKernel() {
  static const AvxVnni kernel;
  return &kernel;
}

}  // namespace ese

#else

namespace ese {
const Kernel* AvxVnniKernel() { return nullptr; }
}  // namespace ese

#endif
