// SPDX-License-Identifier: Apache-2.0
// The kernel for arm64 with 8-bit matrix products (Armv8.6: Graviton 3, Apple M2). usdot
// takes unsigned activations as they are.
#include "accel/cpu/kernels/kernel.h"

#if defined(__aarch64__)
#include <sys/auxv.h>

#include "accel/cpu/kernels/columns_neon.h"

namespace ese {
namespace {

struct MixedDot {
  static ESE_INLINE uint8x16_t Prepare(uint8x16_t u8) { return u8; }
  static ESE_INLINE void Add(int32x4_t& sum, uint8x16_t u8, int8x16_t s8) {
    sum = vusdotq_s32(sum, u8, s8);
  }
  static ESE_INLINE int32x4_t Lost(int32x4_t) { return vdupq_n_s32(0); }
};

class NeonI8mm final : public NeonColumns<MixedDot> {
 public:
  const char* name() const override { return "neoni8mm"; }
  bool Supported() const override { return (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0; }
};

}  // namespace

const Kernel* NeonI8mmKernel() {
  static const NeonI8mm kernel;
  return &kernel;
}

}  // namespace ese

#else

namespace ese {
const Kernel* NeonI8mmKernel() { return nullptr; }
}  // namespace ese

#endif
