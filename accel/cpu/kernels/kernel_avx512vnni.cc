// SPDX-License-Identifier: Apache-2.0
// The kernel for AVX-512 (F, BW, VL) with VNNI: Cascade Lake, Zen 4 and later. A dot product is
// one vpdpbusd.
#include "accel/cpu/kernels/kernel.h"

#if defined(__x86_64__)
#include "accel/cpu/kernels/columns_avx512.h"
#include "accel/cpu/kernels/lookup_avx512.h"

namespace ese {
namespace {

class Avx512Vnni final : public Avx512Columns<VnniDot> {
 public:
  const char* name() const override { return "avx512vnni"; }
  bool Supported() const override {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("bmi");
  }
  const LookupKernel* lookup() const override { return &lookup_; }

 private:
  Avx512Lookup<WordProducts<VnniDot>> lookup_;
};

}  // namespace

const Kernel* Avx512VnniKernel() {
  static const Avx512Vnni kernel;
  return &kernel;
}

}  // namespace ese

#else

namespace ese {
const Kernel* Avx512VnniKernel() { return nullptr; }
}  // namespace ese

#endif
