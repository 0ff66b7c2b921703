// SPDX-License-Identifier: Apache-2.0
// The kernel for AVX-512 with VNNI and VBMI (Ice Lake, Zen 4 and later): columns by VNNI, and
// look-up (lookup_avx512.h) of a line in memory by
//
//     sum += vpdpbusd(vpermb(column, line), weight)
//
// so that 64 products take two instructions, where columns of lanes take three (eight unpacks and
// four vpdpbusd for 256), but some of the 64 are padding.
//
// What was tried (Zen 4, cycles for 64 products of one lane):
//   vpermi2b, two registers of 128 columns: 1.90, because it and vpdpbusd both read three
//   registers; a third as much padding did not make up for it. vpermb of a register or of a whole
//   cache line in memory: 1.34; of one that crosses cache lines: 1.51.
// Of a step of 64 lanes: cell updates between the products of the next block, by pairs of lanes
// 1.08 of the time, by functions 1.02: what waits for results fills the scheduler.
#include "accel/cpu/kernels/kernel.h"

#if defined(__x86_64__)
#include "accel/cpu/kernels/lookup_avx512.h"

namespace ese {
namespace {

class ByteProducts {
 public:
  explicit ESE_INLINE ByteProducts(const LookupTile& tile)
      : column_(_mm512_load_si512(tile.column)), weight_(_mm512_load_si512(tile.weight)) {}

  ESE_INLINE void Add(__m512i& sum, const uint8_t* line) const {
    VnniDot::Add(sum, _mm512_permutexvar_epi8(column_, _mm512_load_si512(line)), weight_);
  }

 private:
  const __m512i column_, weight_;
};

class Avx512Vbmi final : public Kernel {
 public:
  const char* name() const override { return "avx512vbmi"; }
  bool Supported() const override {
    return columns_->Supported() && __builtin_cpu_supports("avx512vbmi");
  }
  const LookupKernel* lookup() const override { return &lookup_; }

  void Cells(const PackedLayer& layer, int width, const uint8_t* v, int16_t* c,
             uint8_t* m) const override {
    columns_->Cells(layer, width, v, c, m);
  }
  void Project(const PackedMatrix& matrix, int shift, int width, const uint8_t* m,
               uint8_t* y) const override {
    columns_->Project(matrix, shift, width, m, y);
  }
  void Logits(const PackedMatrix& matrix, int width, const uint8_t* y,
              int32_t* logits) const override {
    columns_->Logits(matrix, width, y, logits);
  }

 private:
  const Kernel* const columns_ = Avx512VnniKernel();
  Avx512Lookup<ByteProducts> lookup_;
};

}  // namespace

const Kernel* Avx512VbmiKernel() {
  static const Avx512Vbmi kernel;
  return &kernel;
}

}  // namespace ese

#else

namespace ese {
const Kernel* Avx512VbmiKernel() { return nullptr; }
}  // namespace ese

#endif
