// SPDX-License-Identifier: Apache-2.0
// The columns algorithm in 256-bit registers. The template parameter Dot multiplies and sums bytes:
// its static Add(sum, u8, s8) adds to each dword of sum its four products. For kernels' source
// files only: everything here is local to the file that includes it (see kernel.h).
//
// Four entries of a row have columns A B C D; every dword holds their four weights:
//
//     A a0 a1 .. a31 \ unpack8   a0 b0 a1 b1 ..  \ unpack16   a0 b0 c0 d0 a1 b1 c1 d1 ..
//     B b0 b1 .. b31 /                           /               x w0 w1 w2 w3 w0 w1 w2 w3 ..
//     C c0 c1 .. c31 \           c0 d0 c1 d1 ..  /               = sums of four (32 bits)
//     D d0 d1 .. d31 /
//
// Block b (of 128 bits) of sum[k] has lanes 16 b + 4 k ... + 3. Packing sums 0 and 1, and sums 2
// and 3, gives words whose blocks hold lanes 16 b ... + 7 and 16 b + 8 ... + 15. Packing those
// restores the order of the lanes.
//
// Of the sixteen registers, the sums of two rows take eight, so a cell's four gates take two
// passes. At 16 lanes the upper halves are idle; 64 lanes are computed in two halves.
#pragma once

#include <immintrin.h>

#include "accel/cpu/kernels/columns_by_width.h"
#include "accel/cpu/kernels/kernel.h"

namespace ese {
namespace {

#define ESE_INLINE inline __attribute__((always_inline))

constexpr int kLanes = 32;  // bytes in a register

struct Sums {
  __m256i v[4];
};

// 16-bit values of 32 lanes: block b of v[h] has lanes 16 b + 8 h ... + 7.
struct Words {
  __m256i v[2];
};

// One column's lanes. Columns are `width` bytes apart; at 16 lanes there are only 16 to read.
template <int kWidth>
ESE_INLINE __m256i Column(const uint8_t* v, uint16_t column8) {
  const uint8_t* p = v + size_t{column8} * kWidth / kColumnUnit;
  if constexpr (kWidth >= kLanes) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  } else {
    return _mm256_castsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(p)));
  }
}

template <typename Dot, int kWidth>
ESE_INLINE void AddEntries(const uint8_t* v, const uint16_t* column8, const int8_t* weight,
                           Sums& sum) {
  const __m256i a = Column<kWidth>(v, column8[0]), b = Column<kWidth>(v, column8[1]);
  const __m256i c = Column<kWidth>(v, column8[2]), d = Column<kWidth>(v, column8[3]);
  int32_t four;
  __builtin_memcpy(&four, weight, sizeof(four));
  const __m256i weights = _mm256_set1_epi32(four);
  const __m256i ab0 = _mm256_unpacklo_epi8(a, b), ab1 = _mm256_unpackhi_epi8(a, b);
  const __m256i cd0 = _mm256_unpacklo_epi8(c, d), cd1 = _mm256_unpackhi_epi8(c, d);
  Dot::Add(sum.v[0], _mm256_unpacklo_epi16(ab0, cd0), weights);
  Dot::Add(sum.v[1], _mm256_unpackhi_epi16(ab0, cd0), weights);
  Dot::Add(sum.v[2], _mm256_unpacklo_epi16(ab1, cd1), weights);
  Dot::Add(sum.v[3], _mm256_unpackhi_epi16(ab1, cd1), weights);
}

// The aligned sums of rows `first` and `first` + 1 of a group.
template <typename Dot, int kWidth, int first>
ESE_INLINE void SumTwoRows(const PackedMatrix& matrix, int group, const uint8_t* v,
                           Sums (&sums)[kBlockRows]) {
  Sums s0, s1;
  for (int k = 0; k < 4; ++k) s0.v[k] = s1.v[k] = _mm256_setzero_si256();
  const EntryBlock* block = matrix.blocks + size_t(group) * matrix.blocks_per_group;
  const EntryBlock* const coarse_end = block + matrix.coarse_blocks;
  const EntryBlock* const end = block + matrix.blocks_per_group;
  for (const EntryBlock* part_end = coarse_end;; part_end = end) {
    for (; block != part_end; ++block) {
      AddEntries<Dot, kWidth>(v, block->column8[first], block->weight[first], s0);
      AddEntries<Dot, kWidth>(v, block->column8[first + 1], block->weight[first + 1], s1);
    }
    if (block == end) break;
    for (int k = 0; k < 4; ++k) {
      s0.v[k] = _mm256_slli_epi32(s0.v[k], kFineShift);
      s1.v[k] = _mm256_slli_epi32(s1.v[k], kFineShift);
    }
  }
  const RowConstants& constants = matrix.constants[group];
  const auto align = [&](const Sums& from, int row) {
    const __m128i shift = _mm_cvtsi32_si128(constants.shift[row]);
    const __m256i addend = _mm256_set1_epi32(constants.addend[row]);
    for (int k = 0; k < 4; ++k) {
      sums[row].v[k] = _mm256_add_epi32(_mm256_sll_epi32(from.v[k], shift), addend);
    }
  };
  align(s0, first);
  align(s1, first + 1);
}

template <typename Dot, int kWidth>
ESE_INLINE void SumGroup(const PackedMatrix& matrix, int group, const uint8_t* v,
                         Sums (&sums)[kBlockRows]) {
  SumTwoRows<Dot, kWidth, 0>(matrix, group, v, sums);
  SumTwoRows<Dot, kWidth, 2>(matrix, group, v, sums);
}

template <int kWidth>
ESE_INLINE Words LoadCell(const int16_t* c) {
  const auto* p = reinterpret_cast<const __m256i*>(c);
  const __m256i low = _mm256_load_si256(p);
  const __m256i high = kWidth >= kLanes ? _mm256_load_si256(p + 1) : low;
  return {_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31)};
}

template <int kWidth>
ESE_INLINE void StoreCell(const Words& x, int16_t* c) {
  auto* p = reinterpret_cast<__m256i*>(c);
  _mm256_store_si256(p, _mm256_permute2x128_si256(x.v[0], x.v[1], 0x20));
  if constexpr (kWidth >= kLanes) {
    _mm256_store_si256(p + 1, _mm256_permute2x128_si256(x.v[0], x.v[1], 0x31));
  }
}

// Shifts sums right and saturates them to 16 bits.
ESE_INLINE Words ToWords(const Sums& sum, __m128i shift) {
  const auto shifted = [&](int k) { return _mm256_sra_epi32(sum.v[k], shift); };
  return {_mm256_packs_epi32(shifted(0), shifted(1)), _mm256_packs_epi32(shifted(2), shifted(3))};
}

// Saturates words to 8 bits and stores them as unsigned activations.
template <int kWidth>
ESE_INLINE void StoreActivations(const Words& x, uint8_t* out) {
  const __m256i bytes =
      _mm256_xor_si256(_mm256_packs_epi16(x.v[0], x.v[1]), _mm256_set1_epi8(-128));
  if constexpr (kWidth >= kLanes) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(out), bytes);
  } else {
    _mm_store_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(bytes));
  }
}

// Adds the rounded product of a peephole with c to aligned sums (7).
ESE_INLINE void AddPeephole(int16_t peephole, const Words& c, Sums& sum) {
  const __m256i p = _mm256_set1_epi16(peephole), half = _mm256_set1_epi32(4);
  const auto add = [&](int k, __m256i product) {
    sum.v[k] = _mm256_add_epi32(sum.v[k], _mm256_srai_epi32(_mm256_add_epi32(product, half), 3));
  };
  for (int h = 0; h < 2; ++h) {
    const __m256i low = _mm256_mullo_epi16(p, c.v[h]), high = _mm256_mulhi_epi16(p, c.v[h]);
    add(2 * h, _mm256_unpacklo_epi16(low, high));
    add(2 * h + 1, _mm256_unpackhi_epi16(low, high));
  }
}

// The scalar functions of model/arithmetic.h for 16 lanes. A rounded Q0.15 product is one
// vpmulhrsw. A coefficient is looked up in halves: its table of 32 words takes four registers of 16
// bytes.
class Functions {
 public:
  explicit Functions(const TanhTable& table) {
    const int16_t* const coefficients[] = {table.c0, table.c1, table.c2, table.c3};
    for (int c = 0; c < 4; ++c) {
      for (int half = 0; half < 2; ++half) {
        for (int part = 0; part < 2; ++part) {
          int8_t bytes[16];
          for (int i = 0; i < 16; ++i) {
            bytes[i] = static_cast<int8_t>(coefficients[c][16 * part + i] >> (8 * half));
          }
          __m128i table16;
          __builtin_memcpy(&table16, bytes, sizeof(bytes));
          bytes_[c][half][part] = _mm256_broadcastsi128_si256(table16);
        }
      }
    }
  }

  ESE_INLINE __m256i Tanh(__m256i u) const {
    const __m256i sign = _mm256_srai_epi16(u, 15);
    return _mm256_sub_epi16(_mm256_xor_si256(Magnitude(u), sign), sign);
  }
  ESE_INLINE __m256i Sigmoid(__m256i z) const {
    const __m256i sign = _mm256_srai_epi16(z, 15);
    const __m256i half = _mm256_srli_epi16(Magnitude(z), 1);
    const __m256i signed_half = _mm256_sub_epi16(_mm256_xor_si256(half, sign), sign);
    return _mm256_add_epi16(_mm256_set1_epi16(1 << 14), signed_half);
  }

 private:
  // TanhMagnitude(|u|), with |u| saturated (4).
  ESE_INLINE __m256i Magnitude(__m256i u) const {
    const __m256i n = _mm256_min_epu16(_mm256_abs_epi16(u), _mm256_set1_epi16(32767));
    const __m256i t = _mm256_and_si256(_mm256_slli_epi16(n, 5), _mm256_set1_epi16(1023 << 5));
    // Both bytes of each word hold the segment's number, 0 to 31. The even bytes look up the low
    // byte of the coefficient, the odd bytes the high one.
    const __m256i k = _mm256_srli_epi16(n, 10);
    const __m256i both = _mm256_or_si256(k, _mm256_slli_epi16(k, 8));
    // Segments from 16 on are in the second part of a table: bit 4 moves to where vpblendvb tests
    // it.
    const __m256i upper = _mm256_slli_epi16(both, 3);
    const auto coefficient = [&](int c) {
      const auto look_up = [&](int half) {
        return _mm256_blendv_epi8(_mm256_shuffle_epi8(bytes_[c][half][0], both),
                                  _mm256_shuffle_epi8(bytes_[c][half][1], both), upper);
      };
      return _mm256_blendv_epi8(look_up(0), look_up(1), _mm256_set1_epi16(-256));
    };
    const auto horner = [&](__m256i c, __m256i p) {
      return _mm256_add_epi16(c, _mm256_mulhrs_epi16(p, t));
    };
    return horner(coefficient(0), horner(coefficient(1), horner(coefficient(2), coefficient(3))));
  }

  __m256i bytes_[4][2][2];  // [coefficient][low, high byte][segments 0.., 16..], in both blocks
};

ESE_INLINE __m256i Twice(__m256i x) { return _mm256_adds_epi16(x, x); }

// c' = f c + i g (10), from the pre-activations of the gates.
ESE_INLINE __m256i UpdateState(const Functions& functions, bool g_is_sigmoid, __m256i zi,
                               __m256i zf, __m256i zg, __m256i c) {
  const __m256i i = functions.Sigmoid(zi), f = functions.Sigmoid(zf);
  const __m256i g = g_is_sigmoid ? functions.Sigmoid(zg) : functions.Tanh(Twice(zg));
  const __m256i added = _mm256_mulhrs_epi16(_mm256_mulhrs_epi16(i, g), _mm256_set1_epi16(1 << 10));
  return _mm256_adds_epi16(_mm256_mulhrs_epi16(f, c), added);
}

// m = o tanh(c), before saturation (12).
ESE_INLINE __m256i Hidden(const Functions& functions, __m256i zo, __m256i c, int16_t scale) {
  const __m256i o = functions.Sigmoid(zo), tanh_c = functions.Tanh(Twice(Twice(c)));
  return _mm256_mulhrs_epi16(_mm256_mulhrs_epi16(o, tanh_c), _mm256_set1_epi16(scale));
}

// One cell of up to 32 lanes.
template <int kWidth>
ESE_INLINE void UpdateLanes(const PackedLayer& layer, const Functions& functions, int cell,
                            Sums (&sums)[kBlockRows], int16_t* c, uint8_t* m) {
  const __m128i shift = _mm_cvtsi32_si128(8);
  const int16_t* peephole = layer.peepholes == nullptr ? nullptr : layer.peepholes + 4 * cell;
  Words state = LoadCell<kWidth>(c);
  if (peephole != nullptr) {
    AddPeephole(peephole[0], state, sums[0]);
    AddPeephole(peephole[1], state, sums[1]);
  }
  const Words zi = ToWords(sums[0], shift), zf = ToWords(sums[1], shift);
  const Words zg = ToWords(sums[2], shift);
  for (int h = 0; h < 2; ++h) {
    state.v[h] = UpdateState(functions, layer.g_is_sigmoid, zi.v[h], zf.v[h], zg.v[h], state.v[h]);
  }
  StoreCell<kWidth>(state, c);
  if (peephole != nullptr) AddPeephole(peephole[2], state, sums[3]);
  Words hidden = ToWords(sums[3], shift);
  for (int h = 0; h < 2; ++h) {
    hidden.v[h] = Hidden(functions, hidden.v[h], state.v[h], layer.hidden_scale);
  }
  StoreActivations<kWidth>(hidden, m);
}

template <typename Dot, int kWidth>
void CellsImpl(const PackedLayer& layer, const uint8_t* v, int16_t* c, uint8_t* m) {
  const Functions functions(*layer.tanh);
  for (int cell = 0; cell < layer.cells; ++cell) {
    for (int lane = 0; lane < kWidth; lane += kLanes) {
      Sums sums[kBlockRows];
      SumGroup<Dot, kWidth>(layer.gates, cell, v + lane, sums);
      const size_t at = size_t(cell) * kWidth + lane;
      UpdateLanes<kWidth>(layer, functions, cell, sums, c + at, m + at);
    }
  }
}

template <typename Dot, int kWidth>
void ProjectImpl(const PackedMatrix& matrix, int shift, const uint8_t* m, uint8_t* y) {
  const __m128i count = _mm_cvtsi32_si128(shift);
  for (int group = 0; group < matrix.groups; ++group) {
    for (int lane = 0; lane < kWidth; lane += kLanes) {
      Sums sums[kBlockRows];
      SumGroup<Dot, kWidth>(matrix, group, m + lane, sums);
      for (int row = 0; row < kBlockRows; ++row) {
        uint8_t* out = y + (size_t(group) * kBlockRows + row) * kWidth + lane;
        StoreActivations<kWidth>(ToWords(sums[row], count), out);
      }
    }
  }
}

template <typename Dot, int kWidth>
void LogitsImpl(const PackedMatrix& matrix, const uint8_t* y, int32_t* logits) {
  constexpr int kBlocks = kWidth >= kLanes ? 2 : 1;
  for (int group = 0; group < matrix.groups; ++group) {
    for (int lane = 0; lane < kWidth; lane += kLanes) {
      Sums sums[kBlockRows];
      SumGroup<Dot, kWidth>(matrix, group, y + lane, sums);
      for (int row = 0; row < kBlockRows; ++row) {
        int32_t* out = logits + (size_t(group) * kBlockRows + row) * kWidth + lane;
        for (int k = 0; k < 4; ++k) {
          int32_t blocks[2][4];
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(blocks), sums[row].v[k]);
          for (int b = 0; b < kBlocks; ++b) {
            __builtin_memcpy(out + 16 * b + 4 * k, blocks[b], sizeof(blocks[b]));
          }
        }
      }
    }
  }
}

template <typename Dot>
struct Avx2ColumnsLoops {
  template <int kWidth>
  static constexpr auto* kCells = CellsImpl<Dot, kWidth>;
  template <int kWidth>
  static constexpr auto* kProject = ProjectImpl<Dot, kWidth>;
  template <int kWidth>
  static constexpr auto* kLogits = LogitsImpl<Dot, kWidth>;
};

// The kernel without its name and its test for support.
template <typename Dot>
using Avx2Columns = ColumnsByWidth<Avx2ColumnsLoops<Dot>>;

}  // namespace
}  // namespace ese
