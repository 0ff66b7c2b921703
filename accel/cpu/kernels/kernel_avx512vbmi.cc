// SPDX-License-Identifier: Apache-2.0
// The kernel for AVX-512 with VNNI and VBMI: Ice Lake, Zen 4 and later. Its columns algorithm is
// that of VNNI. Its look-up algorithm (lookup_avx512.h) looks up in a line in memory by
//
//     sum += vpdpbusd(vpermb(column, line), weight)
//
// so that 64 products take two instructions, though some of the products are padding. Columns take
// three instructions for 64 products (eight unpacks and four vpdpbusd for 256).
//
// What was tried (Zen 4, cycles for 64 products of one lane):
//   vpermi2b of two registers, 128 columns: 1.90, because vpermi2b and vpdpbusd both read three
//     registers; having a third of the padding did not make up for that
//   vpermb of a register, or of a whole cache line in memory: 1.34
//   vpermb of 64 bytes that cross a cache line: 1.51
// Interleaving cell updates with the products of the next block took 1.08 of the time of a step of
// 64 lanes by pairs of lanes, and 1.02 by functions: instructions that wait for results fill the
// processor's scheduler.
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
