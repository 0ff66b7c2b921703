// SPDX-License-Identifier: Apache-2.0
// The columns algorithm for AVX-512 (F, BW, VL). The template parameter Dot multiplies and sums
// bytes: its static Add(sum, u8, s8) adds to each dword of sum its four products. For kernels'
// source files only: everything here is local to the file that includes it (see kernel.h).
//
// Four entries of a row have columns A B C D. One dot product (with VNNI: vpdpbusd) multiplies them
// by their four weights, which every dword holds:
//
//   64 lanes: a column is one register (= one cache line). Unpacking bytes, then words, gives
//     sum[0..3], where 128-bit block b of sum[k] has lanes 16 b + 4 k ... + 3:
//
//        A a0 a1 .. a63 \ unpack8   a0 b0 a1 b1 ..  \ unpack16   a0 b0 c0 d0 a1 b1 c1 d1 ..
//        B b0 b1 .. b63 /                           /               x w0 w1 w2 w3 w0 w1 w2 w3 ..
//        C c0 c1 .. c63 \           c0 d0 c1 d1 ..  /
//        D d0 d1 .. d63 /
//
//   32 lanes: a register holds a column of one row and a column of the next, [A A']. The rest is as
//     above, with weights [w w']. The end of the loop sorts the sums by row, so that block b of
//     sum[k] has lanes 8 b + 4 k ... + 3 of one row.
//   16 lanes: [A B C D] fill one register, which vpermd and vpshufb sort. Block b of sum[0] has
//     lanes 4 b ... + 3.
//
// In each case packing pairs of sums to 16 bits brings the lanes back in order within blocks. A
// cell's four gates are summed side by side (at 64 lanes the sums take 16 of 32 registers) and its
// update follows at once, so that no pre-activation goes through memory.
#pragma once

#include "accel/cpu/kernels/cell_update_avx512.h"
#include "accel/cpu/kernels/columns_by_width.h"
#include "accel/cpu/kernels/kernel.h"

namespace ese {
namespace {

// One row's sums for all lanes.
template <int kWidth>
struct Sums {
  static constexpr int kCount = kWidth / 16;
  __m512i v[kCount];
};

// The addresses of the columns of four entries.
template <int kWidth>
struct Columns {
  // One load gets all four indices, because scalar and vector loads share the ports. Four columns
  // with four loads for their indices took 3.65 cycles, with one load 2.78, and a step of 64 lanes
  // went from 142 us to 126 (Zen 5).
  ESE_INLINE Columns(const uint8_t* v, const uint16_t* column8) {
    uint64_t four;
    __builtin_memcpy(&four, column8, sizeof(four));
    constexpr int kBytes = kWidth / kColumnUnit;
    p[0] = v + (four & 0xFFFF) * kBytes;
    p[1] = v + __bextr_u64(four, 16 << 8 | 16) * kBytes;
    p[2] = v + __bextr_u64(four, 16 << 8 | 32) * kBytes;
    p[3] = v + (four >> 48) * kBytes;
  }
  const uint8_t* p[kBlockEntries];
};

ESE_INLINE __m512i BroadcastFour(const int8_t* weights) {
  int32_t four;
  __builtin_memcpy(&four, weights, sizeof(four));
  return _mm512_set1_epi32(four);
}

// Adds the products of four columns: sum[k] gets those of words k of each block.
template <typename Dot>
ESE_INLINE void AddColumns(__m512i a, __m512i b, __m512i c, __m512i d, __m512i weights,
                           __m512i (&sum)[4]) {
  const __m512i ab0 = _mm512_unpacklo_epi8(a, b), ab1 = _mm512_unpackhi_epi8(a, b);
  const __m512i cd0 = _mm512_unpacklo_epi8(c, d), cd1 = _mm512_unpackhi_epi8(c, d);
  Dot::Add(sum[0], _mm512_unpacklo_epi16(ab0, cd0), weights);
  Dot::Add(sum[1], _mm512_unpackhi_epi16(ab0, cd0), weights);
  Dot::Add(sum[2], _mm512_unpacklo_epi16(ab1, cd1), weights);
  Dot::Add(sum[3], _mm512_unpackhi_epi16(ab1, cd1), weights);
}

// Makes coarse sums units of the fine entries.
template <size_t kCount>
ESE_INLINE void ShiftToFine(__m512i (&sums)[kCount]) {
#pragma GCC unroll 4
  for (__m512i& sum : sums) sum = _mm512_slli_epi32(sum, kFineShift);
}

// The functions SumBlocks add the products of the blocks before coarse_end, then those of the fine
// entries, which go from coarse_end to end.
template <typename Dot>
ESE_INLINE void SumBlocks(const EntryBlock* block, const EntryBlock* coarse_end,
                          const EntryBlock* end, const uint8_t* v, Sums<64> (&sums)[kBlockRows]) {
  for (const EntryBlock* part_end = coarse_end;; part_end = end) {
    for (; block != part_end; ++block) {
#pragma GCC unroll 4
      for (int row = 0; row < kBlockRows; ++row) {
        const Columns<64> columns(v, block->column8[row]);
        const auto column = [&](int k) { return _mm512_load_si512(columns.p[k]); };
        AddColumns<Dot>(column(0), column(1), column(2), column(3),
                        BroadcastFour(block->weight[row]), sums[row].v);
      }
    }
    if (block == end) break;
    for (auto& sum : sums) ShiftToFine(sum.v);
  }
}

// Four blocks of a and b: [a0 b0 a1 b1] (first) and [a2 b2 a3 b3] (second).
ESE_INLINE __m512i InterleaveFirst(__m512i a, __m512i b) {
  return _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), b);
}
ESE_INLINE __m512i InterleaveSecond(__m512i a, __m512i b) {
  return _mm512_permutex2var_epi64(a, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), b);
}

ESE_INLINE __m512i LoadPair(const uint8_t* low, const uint8_t* high) {
  const __m256i half = _mm256_load_si256(reinterpret_cast<const __m256i*>(low));
  return _mm512_inserti64x4(_mm512_castsi256_si512(half),
                            _mm256_load_si256(reinterpret_cast<const __m256i*>(high)), 1);
}

// Adds the products of rows r and r + 1 of a block, at 32 lanes.
template <typename Dot, int r>
ESE_INLINE void AddRowPair(const EntryBlock& block, const uint8_t* v, __m512i weights,
                           __m512i (&sum)[4]) {
  const Columns<32> low(v, block.column8[r]), high(v, block.column8[r + 1]);
  const auto column = [&](int k) { return LoadPair(low.p[k], high.p[k]); };
  constexpr auto kLow = static_cast<_MM_PERM_ENUM>(r * 0x55);
  constexpr auto kHigh = static_cast<_MM_PERM_ENUM>((r + 1) * 0x55);
  const __m512i both =
      _mm512_mask_shuffle_epi32(_mm512_shuffle_epi32(weights, kLow), 0xFF00, weights, kHigh);
  AddColumns<Dot>(column(0), column(1), column(2), column(3), both, sum);
}

template <typename Dot>
ESE_INLINE void SumBlocks(const EntryBlock* block, const EntryBlock* coarse_end,
                          const EntryBlock* end, const uint8_t* v, Sums<32> (&sums)[kBlockRows]) {
  __m512i first[4], second[4];  // rows 0 and 1, rows 2 and 3
  for (int k = 0; k < 4; ++k) first[k] = second[k] = _mm512_setzero_si512();
  for (const EntryBlock* part_end = coarse_end;; part_end = end) {
    for (; block != part_end; ++block) {
      const __m512i weights =
          _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block->weight)));
      AddRowPair<Dot, 0>(*block, v, weights, first);
      AddRowPair<Dot, 2>(*block, v, weights, second);
    }
    if (block == end) break;
    ShiftToFine(first);
    ShiftToFine(second);
  }
  for (int k = 0; k < 2; ++k) {
    sums[0].v[k] = InterleaveFirst(first[k], first[k + 2]);
    sums[1].v[k] = InterleaveSecond(first[k], first[k + 2]);
    sums[2].v[k] = InterleaveFirst(second[k], second[k + 2]);
    sums[3].v[k] = InterleaveSecond(second[k], second[k + 2]);
  }
}

ESE_INLINE __m128i Load128(const void* p) { return _mm_load_si128(static_cast<const __m128i*>(p)); }

template <typename Dot>
ESE_INLINE void SumBlocks(const EntryBlock* block, const EntryBlock* coarse_end,
                          const EntryBlock* end, const uint8_t* v, Sums<16> (&sums)[kBlockRows]) {
  const __m512i dwords = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i turn =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  __m512i sum[kBlockRows];  // not `sums`, which the caller may keep in memory
#pragma GCC unroll 4
  for (__m512i& x : sum) x = _mm512_setzero_si512();
  for (const EntryBlock* part_end = coarse_end;; part_end = end) {
    for (; block != part_end; ++block) {
#pragma GCC unroll 4
      for (int row = 0; row < kBlockRows; ++row) {
        const Columns<16> columns(v, block->column8[row]);
        __m512i abcd = _mm512_castsi128_si512(Load128(columns.p[0]));
        abcd = _mm512_inserti32x4(abcd, Load128(columns.p[1]), 1);
        abcd = _mm512_inserti32x4(abcd, Load128(columns.p[2]), 2);
        abcd = _mm512_inserti32x4(abcd, Load128(columns.p[3]), 3);
        const __m512i turned = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(dwords, abcd), turn);
        Dot::Add(sum[row], turned, BroadcastFour(block->weight[row]));
      }
    }
    if (block == end) break;
    ShiftToFine(sum);
  }
#pragma GCC unroll 4
  for (int row = 0; row < kBlockRows; ++row) sums[row].v[0] = sum[row];
}

// The aligned sums of a group's four rows.
template <typename Dot, int kWidth>
ESE_INLINE void SumGroup(const PackedMatrix& matrix, int group, const uint8_t* v,
                         Sums<kWidth> (&sums)[kBlockRows]) {
  for (auto& sum : sums) {
    for (__m512i& x : sum.v) x = _mm512_setzero_si512();
  }
  const EntryBlock* blocks = matrix.blocks + size_t(group) * matrix.blocks_per_group;
  SumBlocks<Dot>(blocks, blocks + matrix.coarse_blocks, blocks + matrix.blocks_per_group, v, sums);
  const RowConstants& constants = matrix.constants[group];
#pragma GCC unroll 4
  for (int row = 0; row < kBlockRows; ++row) {
    const __m512i shift = _mm512_set1_epi32(constants.shift[row]);
    const __m512i addend = _mm512_set1_epi32(constants.addend[row]);
    for (__m512i& x : sums[row].v) x = _mm512_add_epi32(_mm512_sllv_epi32(x, shift), addend);
  }
}

// 16-bit values of all lanes, in the order that packing Sums<kWidth> gives. At 64 lanes, block b of
// v[0] has lanes 16 b ... + 7 and block b of v[1] has lanes 16 b + 8 ... + 15. Otherwise the lanes
// are in order (and at 16 lanes the upper half is unused).
template <int kWidth>
constexpr int kWords = kWidth == 64 ? 2 : 1;
template <int kWidth>
using Words = Registers<kWords<kWidth>>;

// These turn lane order into block order at 64 lanes.
ESE_INLINE __m512i FirstHalves(__m512i a, __m512i b) {
  return _mm512_permutex2var_epi64(a, _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13), b);
}
ESE_INLINE __m512i SecondHalves(__m512i a, __m512i b) {
  return _mm512_permutex2var_epi64(a, _mm512_setr_epi64(2, 3, 6, 7, 10, 11, 14, 15), b);
}

template <int kWidth>
ESE_INLINE Words<kWidth> LoadCell(const int16_t* c) {
  if constexpr (kWidth == 64) {
    const __m512i low = _mm512_load_si512(c), high = _mm512_load_si512(c + 32);
    return {FirstHalves(low, high), SecondHalves(low, high)};
  } else if constexpr (kWidth == 32) {
    return {_mm512_load_si512(c)};
  } else {
    return {_mm512_zextsi256_si512(_mm256_load_si256(reinterpret_cast<const __m256i*>(c)))};
  }
}

template <int kWidth>
ESE_INLINE void StoreCell(const Words<kWidth>& x, int16_t* c) {
  if constexpr (kWidth == 64) {
    _mm512_store_si512(c, InterleaveFirst(x.v[0], x.v[1]));
    _mm512_store_si512(c + 32, InterleaveSecond(x.v[0], x.v[1]));
  } else if constexpr (kWidth == 32) {
    _mm512_store_si512(c, x.v[0]);
  } else {
    _mm256_store_si256(reinterpret_cast<__m256i*>(c), _mm512_castsi512_si256(x.v[0]));
  }
}

// Shifts sums right and saturates them to 16 bits.
template <int kWidth>
ESE_INLINE Words<kWidth> ToWords(const Sums<kWidth>& sum, __m128i shift) {
  const auto shifted = [&](int k) { return _mm512_sra_epi32(sum.v[k], shift); };
  if constexpr (kWidth == 64) {
    return {_mm512_packs_epi32(shifted(0), shifted(1)), _mm512_packs_epi32(shifted(2), shifted(3))};
  } else if constexpr (kWidth == 32) {
    return {_mm512_packs_epi32(shifted(0), shifted(1))};
  } else {
    return {_mm512_zextsi256_si512(_mm512_cvtsepi32_epi16(shifted(0)))};
  }
}

// Saturates words to 8 bits and stores them as unsigned activations.
template <int kWidth>
ESE_INLINE void StoreActivations(const Words<kWidth>& x, uint8_t* out) {
  if constexpr (kWidth == 64) {
    const __m512i bytes = _mm512_packs_epi16(x.v[0], x.v[1]);
    _mm512_store_si512(out, _mm512_xor_si512(bytes, _mm512_set1_epi8(-128)));
  } else {
    const __m256i bytes = _mm256_xor_si256(_mm512_cvtsepi16_epi8(x.v[0]), _mm256_set1_epi8(-128));
    if constexpr (kWidth == 32) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(out), bytes);
    } else {
      _mm_store_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(bytes));
    }
  }
}

// Adds the rounded product of a peephole with c to aligned sums (7).
template <int kWidth>
ESE_INLINE void AddPeephole(int16_t peephole, const Words<kWidth>& c, Sums<kWidth>& sum) {
  const __m512i half = _mm512_set1_epi32(4);
  const auto add = [&](int k, __m512i product) {
    sum.v[k] = _mm512_add_epi32(sum.v[k], _mm512_srai_epi32(_mm512_add_epi32(product, half), 3));
  };
  if constexpr (kWidth == 16) {
    const __m512i wide = _mm512_cvtepi16_epi32(_mm512_castsi512_si256(c.v[0]));
    add(0, _mm512_mullo_epi32(wide, _mm512_set1_epi32(peephole)));
  } else {
    const __m512i p = _mm512_set1_epi16(peephole);
    for (int i = 0; i < kWords<kWidth>; ++i) {
      const __m512i low = _mm512_mullo_epi16(p, c.v[i]), high = _mm512_mulhi_epi16(p, c.v[i]);
      add(2 * i, _mm512_unpacklo_epi16(low, high));
      add(2 * i + 1, _mm512_unpackhi_epi16(low, high));
    }
  }
}

template <typename Dot, int kWidth>
void CellsImpl(const PackedLayer& layer, const uint8_t* v, int16_t* c, uint8_t* m) {
  const Functions functions(*layer.tanh);
  const __m128i shift = _mm_cvtsi32_si128(8);
  for (int cell = 0; cell < layer.cells; ++cell, c += kWidth, m += kWidth) {
    Sums<kWidth> sums[kBlockRows];
    SumGroup<Dot, kWidth>(layer.gates, cell, v, sums);
    const int16_t* peephole = layer.peepholes == nullptr ? nullptr : layer.peepholes + 4 * cell;

    Words<kWidth> state = LoadCell<kWidth>(c);
    if (peephole != nullptr) {
      AddPeephole<kWidth>(peephole[0], state, sums[0]);
      AddPeephole<kWidth>(peephole[1], state, sums[1]);
    }
    const Words<kWidth> zi = ToWords<kWidth>(sums[0], shift), zf = ToWords<kWidth>(sums[1], shift);
    const Words<kWidth> zg = ToWords<kWidth>(sums[2], shift);
    state = UpdateCells(functions, layer.g_is_sigmoid, zi, zf, zg, state);
    StoreCell<kWidth>(state, c);

    if (peephole != nullptr) AddPeephole<kWidth>(peephole[2], state, sums[3]);
    const Words<kWidth> zo = ToWords<kWidth>(sums[3], shift);
    StoreActivations<kWidth>(Hidden(functions, zo, state, layer.hidden_scale), m);
  }
}

template <typename Dot, int kWidth>
void ProjectImpl(const PackedMatrix& matrix, int shift, const uint8_t* m, uint8_t* y) {
  const __m128i count = _mm_cvtsi32_si128(shift);
  for (int group = 0; group < matrix.groups; ++group) {
    Sums<kWidth> sums[kBlockRows];
    SumGroup<Dot, kWidth>(matrix, group, m, sums);
    for (const Sums<kWidth>& sum : sums) {
      StoreActivations<kWidth>(ToWords<kWidth>(sum, count), y);
      y += kWidth;
    }
  }
}

template <typename Dot, int kWidth>
void LogitsImpl(const PackedMatrix& matrix, const uint8_t* y, int32_t* logits) {
  constexpr int kCount = Sums<kWidth>::kCount;
  for (int group = 0; group < matrix.groups; ++group) {
    Sums<kWidth> sums[kBlockRows];
    SumGroup<Dot, kWidth>(matrix, group, y, sums);
    for (const Sums<kWidth>& sum : sums) {
      for (int k = 0; k < kCount; ++k) {
        int32_t blocks[4][4];
        _mm512_storeu_si512(blocks, sum.v[k]);
        for (int b = 0; b < 4; ++b) {
          __builtin_memcpy(logits + 4 * (kCount * b + k), blocks[b], sizeof(blocks[b]));
        }
      }
      logits += kWidth;
    }
  }
}

template <typename Dot>
struct Avx512ColumnsLoops {
  template <int kWidth>
  static constexpr auto* kCells = CellsImpl<Dot, kWidth>;
  template <int kWidth>
  static constexpr auto* kProject = ProjectImpl<Dot, kWidth>;
  template <int kWidth>
  static constexpr auto* kLogits = LogitsImpl<Dot, kWidth>;
};

// The kernel without its name and its test for support.
template <typename Dot>
using Avx512Columns = ColumnsByWidth<Avx512ColumnsLoops<Dot>>;

}  // namespace
}  // namespace ese
