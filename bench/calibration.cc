// SPDX-License-Identifier: Apache-2.0
#include "bench/calibration.h"

#if defined(__x86_64__)
#include <cstdint>

namespace ese {
namespace {

// These loops are in assembly, so that no compiler removes unused results. The first macro computes
// four entries by columns as in columns_avx512.h, with the columns in zmm0 to zmm3.
#define ESE_FOUR_ENTRIES(s0, s1, s2, s3) \
  "vpunpcklbw %%zmm1, %%zmm0, %%zmm4\n"  \
  "vpunpckhbw %%zmm1, %%zmm0, %%zmm5\n"  \
  "vpunpcklbw %%zmm3, %%zmm2, %%zmm6\n"  \
  "vpunpckhbw %%zmm3, %%zmm2, %%zmm7\n"  \
  "vpunpcklwd %%zmm6, %%zmm4, %%zmm8\n"  \
  "vpunpckhwd %%zmm6, %%zmm4, %%zmm9\n"  \
  "vpunpcklwd %%zmm7, %%zmm5, %%zmm10\n" \
  "vpunpckhwd %%zmm7, %%zmm5, %%zmm11\n" \
  "vpdpbusd %%zmm3, %%zmm8, %%" s0       \
  "\n"                                   \
  "vpdpbusd %%zmm3, %%zmm9, %%" s1       \
  "\n"                                   \
  "vpdpbusd %%zmm3, %%zmm10, %%" s2      \
  "\n"                                   \
  "vpdpbusd %%zmm3, %%zmm11, %%" s3 "\n"
#define ESE_FOUR_DOTS(s0, s1, s2, s3) \
  "vpdpbusd %%zmm3, %%zmm0, %%" s0    \
  "\n"                                \
  "vpdpbusd %%zmm3, %%zmm1, %%" s1    \
  "\n"                                \
  "vpdpbusd %%zmm3, %%zmm2, %%" s2    \
  "\n"                                \
  "vpdpbusd %%zmm3, %%zmm0, %%" s3 "\n"
// Look-up as in kernel_avx512vbmi.cc, with the lines in registers.
#define ESE_FOUR_LOOKUPS(s0, s1, s2, s3) \
  "vpermb %%zmm1, %%zmm0, %%zmm4\n"      \
  "vpermb %%zmm2, %%zmm0, %%zmm5\n"      \
  "vpermb %%zmm1, %%zmm0, %%zmm6\n"      \
  "vpermb %%zmm2, %%zmm0, %%zmm7\n"      \
  "vpdpbusd %%zmm3, %%zmm4, %%" s0       \
  "\n"                                   \
  "vpdpbusd %%zmm3, %%zmm5, %%" s1       \
  "\n"                                   \
  "vpdpbusd %%zmm3, %%zmm6, %%" s2       \
  "\n"                                   \
  "vpdpbusd %%zmm3, %%zmm7, %%" s3 "\n"
#define ESE_SIXTEEN(FOUR)                  \
  FOUR("zmm16", "zmm17", "zmm18", "zmm19") \
  FOUR("zmm20", "zmm21", "zmm22", "zmm23") \
  FOUR("zmm24", "zmm25", "zmm26", "zmm27") FOUR("zmm28", "zmm29", "zmm30", "zmm31")
#define ESE_CLOBBERED                                                                           \
  "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7", "zmm8", "zmm9", "zmm10",      \
      "zmm11", "zmm16", "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", \
      "zmm25", "zmm26", "zmm27", "zmm28", "zmm29", "zmm30", "zmm31"

__attribute__((target("avx512f"))) void Products() {
  for (int i = 0; i < kCalibrationRepeats; ++i) {
    asm volatile(ESE_SIXTEEN(ESE_FOUR_ENTRIES)::: ESE_CLOBBERED);
  }
}

__attribute__((target("avx512f"))) void Dots() {
  for (int i = 0; i < kCalibrationRepeats; ++i) {
    asm volatile(ESE_SIXTEEN(ESE_FOUR_DOTS)::: ESE_CLOBBERED);
  }
}

__attribute__((target("avx512f"))) void Lookups() {
  for (int i = 0; i < kCalibrationRepeats; ++i) {
    asm volatile(ESE_SIXTEEN(ESE_FOUR_LOOKUPS)::: ESE_CLOBBERED);
  }
}

// The vector instructions that update 32 cells, as in cell_update_avx512.h and lookup_avx512.h.
// They turn the sums of four gates into pre-activations, compute three sigmoids and two tanhs, and
// combine them into cells and outputs.
#define ESE_SLOPE                        \
  "vpabsw %%zmm0, %%zmm\\r\n"            \
  "vpminuw %%zmm1, %%zmm0, %%zmm\\r\n"   \
  "vpmovw2m %%zmm0, %%k1\n"              \
  "vpsrlw $10, %%zmm0, %%zmm\\r\n"       \
  "vpsllw $5, %%zmm0, %%zmm\\r\n"        \
  "vpandd %%zmm1, %%zmm0, %%zmm\\r\n"    \
  ".rept 3\n"                            \
  "vpermw %%zmm1, %%zmm0, %%zmm\\r\n"    \
  "vpmulhrsw %%zmm1, %%zmm0, %%zmm\\r\n" \
  ".endr\n"                              \
  "vpermw %%zmm1, %%zmm0, %%zmm\\r\n"    \
  "vpaddw %%zmm1, %%zmm0, %%zmm\\r\n"    \
  "vpaddw %%zmm1, %%zmm0, %%zmm\\r\n"
__attribute__((target("avx512bw"))) void Updates() {
  for (int i = 0; i < kCalibrationRepeats; ++i) {
    asm volatile(
        ".irp r, 16, 17, 18, 19\n"
        "vpsravd %%zmm1, %%zmm0, %%zmm\\r\n"
        "vpsravd %%zmm1, %%zmm0, %%zmm\\r\n"
        "vpackssdw %%zmm1, %%zmm0, %%zmm\\r\n"
        ".endr\n"
        ".irp r, 20, 21, 22\n" ESE_SLOPE  // sigmoids
        "vpavgw %%zmm1, %%zmm0, %%zmm\\r\n"
        "vpsubw %%zmm1, %%zmm0, %%zmm\\r%{%%k1%}\n"
        ".endr\n"
        ".irp r, 23, 24\n" ESE_SLOPE  // tanhs
        "vpaddw %%zmm1, %%zmm0, %%zmm\\r\n"
        "vpsubw %%zmm1, %%zmm0, %%zmm\\r%{%%k1%}\n"
        ".endr\n"
        ".rept 5\n"
        "vpmulhrsw %%zmm1, %%zmm0, %%zmm25\n"
        ".endr\n"
        "vpaddsw %%zmm1, %%zmm0, %%zmm26\n"
        "vpacksswb %%zmm1, %%zmm0, %%zmm27\n" ::
            : "k1", ESE_CLOBBERED);
  }
}

__attribute__((target("avx512f"))) void Loads() {
  alignas(64) static const uint8_t data[16 * 64] = {};
  for (int i = 0; i < kCalibrationRepeats; ++i) {
    asm volatile(
        ".set line, 0\n"
        ".rept 16\n"
        "vmovdqa64 line(%0), %%zmm0\n"
        ".set line, line + 64\n"
        ".endr\n" ::"r"(data)
        : "zmm0", "memory");
  }
}

}  // namespace

bool GetCalibrationLoops(CalibrationLoops* loops) {
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vnni")) return false;
  *loops = {
      .products = Products, .loads = Loads, .lookups = nullptr, .dots = Dots, .updates = Updates};
  if (__builtin_cpu_supports("avx512vbmi")) loops->lookups = Lookups;
  return true;
}

}  // namespace ese

#else

namespace ese {
bool GetCalibrationLoops(CalibrationLoops*) { return false; }
}  // namespace ese

#endif
