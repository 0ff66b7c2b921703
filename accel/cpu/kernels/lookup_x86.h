// SPDX-License-Identifier: Apache-2.0
// Code that the look-up kernels for x86 share. Only their source files may include it: everything
// here is local to the file that includes it (see kernel.h).
#pragma once

#include <immintrin.h>

#include "accel/cpu/kernels/kernel.h"

namespace ese {
namespace {

constexpr size_t kLineBytes = size_t{kLookupLanes} * kLineColumns;  // of all lanes
constexpr int kPairs = kLookupLanes / 2;
constexpr int kPairCells = 2 * kStripRows;  // of a block and a pair of lanes

// Stores the activations of one strip and lane, both copies; `offsets` points to those of the
// strip's first granule.
inline __attribute__((always_inline)) void StoreLane(__m128i activations,
                                                     const uint32_t (*offsets)[2], uint8_t* lane) {
  static_assert(kStripRows == 2 * kGranule);
  // The first copies of the strip's two granules lie side by side.
  _mm_store_si128(reinterpret_cast<__m128i*>(lane + offsets[0][0]), activations);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(lane + offsets[0][1]), activations);
  _mm_storeh_pd(reinterpret_cast<double*>(lane + offsets[1][1]), _mm_castsi128_pd(activations));
}

// Tables of functions by the number of lanes, from 1. Loops has kCells<lanes>, kProject<lanes> and
// kLogits<lanes>: LookupKernel's methods for this many lanes.
template <typename Loops, int... kLess1>
struct LookupTable {
  // These types are spelled out because clang 14 does not deduce them from the variable templates.
  using Cells = void (*)(const PackedLayer&, const uint8_t*, int16_t*, uint8_t*);
  using Project = void (*)(const PackedLayer&, const uint8_t*, uint8_t*);
  using Logits = void (*)(const LookupMatrix&, const uint8_t*, int32_t*, size_t);
  static constexpr Cells kCells[] = {Loops::template kCells<kLess1 + 1>...};
  static constexpr Project kProject[] = {Loops::template kProject<kLess1 + 1>...};
  static constexpr Logits kLogits[] = {Loops::template kLogits<kLess1 + 1>...};
};

template <typename Loops>
class LookupByLanes final : public LookupKernel {
 public:
  void Cells(const PackedLayer& layer, int lanes, const uint8_t* v, int16_t* c,
             uint8_t* m) const override {
    Table::kCells[lanes - 1](layer, v, c, m);
  }
  void Project(const PackedLayer& layer, int lanes, const uint8_t* m, uint8_t* v) const override {
    Table::kProject[lanes - 1](layer, m, v);
  }
  void Logits(const LookupMatrix& matrix, int lanes, const uint8_t* v, int32_t* logits,
              size_t stride) const override {
    Table::kLogits[lanes - 1](matrix, v, logits, stride);
  }

 private:
  using Table = LookupTable<Loops, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>;
};

}  // namespace
}  // namespace ese
