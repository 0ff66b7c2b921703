// SPDX-License-Identifier: Apache-2.0
// The kernel for arm64 with the dot-product extension (Armv8.2 to 8.5: Graviton 2, Apple M1). sdot
// takes only signed operands, so the 128 that made activations unsigned is subtracted again.
#include "accel/cpu/kernels/kernel.h"

#if defined(__aarch64__)
#include <sys/auxv.h>

#include "accel/cpu/kernels/columns_neon.h"

namespace ese {
namespace {

struct SignedDot {
  static ESE_INLINE uint8x16_t Prepare(uint8x16_t u8) { return veorq_u8(u8, vdupq_n_u8(0x80)); }
  static ESE_INLINE void Add(int32x4_t& sum, uint8x16_t prepared, int8x16_t s8) {
    sum = vdotq_s32(sum, vreinterpretq_s8_u8(prepared), s8);
  }
  static ESE_INLINE int32x4_t Lost(int32x4_t weights) { return vshlq_n_s32(weights, 7); }
};

class NeonDot final : public NeonColumns<SignedDot> {
 public:
  const char* name() const override { return "neondot"; }
  bool Supported() const override { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
};

}  // namespace

const Kernel* NeonDotKernel() {
  static const NeonDot kernel;
  return &kernel;
}

}  // namespace ese

#else

namespace ese {
const Kernel* NeonDotKernel() { return nullptr; }
}  // namespace ese

#endif
