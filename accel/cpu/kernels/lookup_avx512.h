// SPDX-License-Identifier: Apache-2.0
// The look-up algorithm for AVX-512 (F, BW, VL). The template parameter Products looks up and
// multiplies: it is made from a LookupTile and has Add(sum, line). For kernels' source files only:
// everything here is local to the file that includes it (see kernel.h).
//
//     line        64 activations of one lane                in memory
//     column      16 rows x 4 entries: where in the line    1 register, shared by all lanes
//     weight      16 rows x 4 entries                       1, shared by all lanes
//     sum         16 rows                                   1 a lane
//
//     looked up[i] = line[column[i]], and four products of it for each row's sum
//
// Packed to 16 bits, the sums of a pair of lanes A and B have in each block of 128 bits four cells
// of A and the same four of B. Cells and peepholes lie in memory in this order.
#pragma once

#include "accel/cpu/kernels/cell_update_avx512.h"
#include "accel/cpu/kernels/kernel.h"
#include "accel/cpu/kernels/lookup_x86.h"

namespace ese {
namespace {

// Products without VBMI. vpermw looks up the words whose halves are the bytes asked for, once for
// the tile's even bytes and once for its odd ones.
//
//     column      c0 c1 ..                            of each word, the low and the high byte
//     vpermw      line's word c0 / 2                  line's word c1 / 2
//     vpsrlvw 8   if c0 is odd        vpsllvw 8       if c1 is even
//     low byte    line[c0]            high byte       line[c1]         vpternlogd joins them
//
// So 64 products take five instructions and a dot product: 4.3 cycles on Zen 4. vpshufb of the
// line's four quarters takes 8 cycles, because broadcasting a quarter takes as long as shuffling
// it.
template <typename Dot>
class WordProducts {
 public:
  explicit ESE_INLINE WordProducts(const LookupTile& tile)
      : weight_(_mm512_load_si512(tile.weight)) {
    const __m512i column = _mm512_load_si512(tile.column), eight = _mm512_set1_epi16(8);
    even_ = _mm512_srli_epi16(column, 1);  // vpermw uses the last five bits only
    odd_ = _mm512_srli_epi16(column, 9);
    even_shift_ = _mm512_and_si512(_mm512_slli_epi16(column, 3), eight);
    odd_shift_ = _mm512_andnot_si512(_mm512_srli_epi16(column, 5), eight);
  }

  ESE_INLINE void Add(__m512i& sum, const uint8_t* line) const {
    constexpr int kSelect = 0xCA;  // bits of the second if the first is set, else of the third
    const __m512i words = _mm512_load_si512(line);
    const __m512i even = _mm512_srlv_epi16(_mm512_permutexvar_epi16(even_, words), even_shift_);
    const __m512i odd = _mm512_sllv_epi16(_mm512_permutexvar_epi16(odd_, words), odd_shift_);
    const __m512i both = _mm512_ternarylogic_epi32(_mm512_set1_epi16(0x00FF), even, odd, kSelect);
    Dot::Add(sum, both, weight_);
  }

 private:
  __m512i even_, odd_, even_shift_, odd_shift_;
  const __m512i weight_;
};

// One result for each row of a strip and each lane. If the number of lanes is odd, the last lane is
// paired with zeros.
template <int kLanes>
struct Results {
  static constexpr int kPairsUsed = (kLanes + 1) / 2;
  __m512i z[2 * kPairsUsed];
};

// Computes the results of a matrix, one strip after another.
template <typename Products, int kLanes>
class StripReader {
 public:
  StripReader(const LookupMatrix& matrix, const uint8_t* v)
      : matrix_(matrix),
        v_(v),
        tile_(matrix.tiles),
        line_(matrix.lines),
        right_(_mm_cvtsi32_si128(matrix.result_shift)) {}

  ESE_INLINE void Next(Results<kLanes>& out) {
    const StripConstants& constants = matrix_.constants[strip_];
    const __m512i shift = _mm512_load_si512(constants.shift);
    const __m512i addend = _mm512_load_si512(constants.addend);
    __m512i sum[kLanes];
    if (matrix_.right_only[strip_]) {
#pragma GCC unroll 16
      for (__m512i& s : sum) s = addend;
      Add(sum);
#pragma GCC unroll 16
      for (int lane = 0; lane < kLanes; ++lane) out.z[lane] = _mm512_srav_epi32(sum[lane], shift);
    } else {
#pragma GCC unroll 16
      for (__m512i& s : sum) s = _mm512_setzero_si512();
      Add(sum);
#pragma GCC unroll 16
      for (int lane = 0; lane < kLanes; ++lane) {
        const __m512i exact = _mm512_add_epi32(_mm512_sllv_epi32(sum[lane], shift), addend);
        out.z[lane] = _mm512_sra_epi32(exact, right_);
      }
    }
    if constexpr (kLanes % 2 != 0) out.z[kLanes] = _mm512_setzero_si512();
    ++strip_;
  }

 private:
  ESE_INLINE void Add(__m512i (&sum)[kLanes]) {
    const LookupTile* const end = tile_ + matrix_.tile_counts[strip_];
    for (const LookupTile* part_end = tile_ + matrix_.coarse_counts[strip_];; part_end = end) {
      for (; tile_ != part_end; ++tile_) {
        const uint8_t* line = v_ + *line_++ * kLineBytes;
        const Products products(*tile_);
#pragma GCC unroll 16
        for (int lane = 0; lane < kLanes; ++lane) {
          products.Add(sum[lane], line + lane * kLineColumns);
        }
      }
      if (tile_ == end) break;
#pragma GCC unroll 16
      for (__m512i& s : sum) s = _mm512_slli_epi32(s, kFineShift);
    }
  }

  const LookupMatrix& matrix_;
  const uint8_t* const v_;
  const LookupTile* tile_;
  const uint16_t* line_;
  const __m128i right_;
  size_t strip_ = 0;
};

// Adds the rounded products of the peepholes with the cells of N pairs of lanes to their sums (7).
template <int N>
ESE_INLINE void AddPeepholes(const int16_t* peepholes, const Registers<N>& c, __m512i* sums) {
  const __m512i p = _mm512_load_si512(peepholes), half = _mm512_set1_epi32(4);
  const auto add = [&](__m512i& sum, __m512i product) {
    sum = _mm512_add_epi32(sum, _mm512_srai_epi32(_mm512_add_epi32(product, half), 3));
  };
  ESE_EACH {
    const __m512i low = _mm512_mullo_epi16(p, c.v[k]), high = _mm512_mulhi_epi16(p, c.v[k]);
    add(sums[2 * k], _mm512_unpacklo_epi16(low, high));
    add(sums[2 * k + 1], _mm512_unpackhi_epi16(low, high));
  }
}

// The next strip's results, each pair of lanes packed to 16 bits.
template <typename Products, int kLanes>
ESE_INLINE void NextWords(StripReader<Products, kLanes>& strips,
                          __m512i (&words)[Results<kLanes>::kPairsUsed]) {
  Results<kLanes> results;
  strips.Next(results);
#pragma GCC unroll 8
  for (int pair = 0; pair < Results<kLanes>::kPairsUsed; ++pair) {
    words[pair] = _mm512_packs_epi32(results.z[2 * pair], results.z[2 * pair + 1]);
  }
}

// The pre-activations of N pairs of lanes, from their exact sums.
template <int N>
ESE_INLINE Registers<N> PreActivations(const __m512i* sums) {
  Registers<N> z;
  ESE_EACH z.v[k] =
      _mm512_packs_epi32(_mm512_srai_epi32(sums[2 * k], 8), _mm512_srai_epi32(sums[2 * k + 1], 8));
  return z;
}

// Saturates a strip's words to 8 bits and stores them as unsigned activations, both copies.
template <int kLanes>
ESE_INLINE void StoreStrip(const __m512i (&words)[Results<kLanes>::kPairsUsed], int strip,
                           const LookupVector& layout, uint8_t* v) {
  const auto* const offsets = layout.offsets + 2 * strip;
  const __m512i by_lane = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
#pragma GCC unroll 4
  for (int lane = 0; lane < kLanes; lane += 4) {
    const __m512i& next = words[lane + 2 < kLanes ? lane / 2 + 1 : lane / 2];
    const __m512i bytes =
        _mm512_xor_si512(_mm512_packs_epi16(words[lane / 2], next), _mm512_set1_epi8(-128));
    const __m512i x = _mm512_permutexvar_epi32(by_lane, bytes);
    const __m128i lanes[4] = {_mm512_castsi512_si128(x), _mm512_extracti32x4_epi32(x, 1),
                              _mm512_extracti32x4_epi32(x, 2), _mm512_extracti32x4_epi32(x, 3)};
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      if (lane + i >= kLanes) break;
      StoreLane(lanes[i], offsets, v + size_t(lane + i) * kLineColumns);
    }
  }
}

// Calls update<n>(first) for pairs first to first + n - 1 until all kAll pairs are done: four at a
// time, then the rest.
template <int kAll, typename Update>
ESE_INLINE void ForPairs(const Update& update) {
  constexpr int kTogether = 4, kRest = kAll % kTogether;
#pragma GCC unroll 1
  for (int first = 0; first + kTogether <= kAll; first += kTogether) {
    update.template operator()<kTogether>(first);
  }
  if constexpr (kRest != 0) update.template operator()<kRest>(kAll - kRest);
}

template <int N>
ESE_INLINE Registers<N> Load(const void* from) {
  Registers<N> x;
  ESE_EACH x.v[k] = _mm512_load_si512(static_cast<const __m512i*>(from) + k);
  return x;
}
template <int N>
ESE_INLINE void Store(const Registers<N>& x, void* to) {
  ESE_EACH _mm512_store_si512(static_cast<__m512i*>(to) + k, x.v[k]);
}

template <typename Products, int kLanes>
void LookupCells(const PackedLayer& layer, const uint8_t* v, int16_t* c, uint8_t* m) {
  constexpr int kUsed = Results<kLanes>::kPairsUsed;
  const Functions functions(*layer.tanh);
  StripReader<Products, kLanes> strips(layer.lookup_gates, v);
  const int first = layer.lookup_gates.first_strip / 4, end = first + layer.lookup_gates.strips / 4;
  c += size_t(first) * kPairs * kPairCells;
  for (int block = first; block < end; ++block, c += kPairs * kPairCells) {
    __m512i zi[kUsed], zf[kUsed], zg[kUsed], zo[kUsed], m16[kUsed];
    NextWords(strips, zi);
    NextWords(strips, zf);
    NextWords(strips, zg);
    NextWords(strips, zo);
    ForPairs<kUsed>([&]<int N>(int pair) __attribute__((always_inline)) {
      const auto state =
          UpdateCells(functions, layer.g_is_sigmoid, Load<N>(zi + pair), Load<N>(zf + pair),
                      Load<N>(zg + pair), Load<N>(c + pair * kPairCells));
      Store(state, c + pair * kPairCells);
      Store(Hidden(functions, Load<N>(zo + pair), state, layer.hidden_scale), m16 + pair);
    });
    StoreStrip<kLanes>(m16, block, layer.lookup_m, m);
  }
}

template <typename Products, int kLanes>
void LookupCellsWithPeepholes(const PackedLayer& layer, const uint8_t* v, int16_t* c, uint8_t* m) {
  constexpr int kUsed = Results<kLanes>::kPairsUsed;
  const Functions functions(*layer.tanh);
  StripReader<Products, kLanes> strips(layer.lookup_gates, v);
  const int first = layer.lookup_gates.first_strip / 4, end = first + layer.lookup_gates.strips / 4;
  c += size_t(first) * kPairs * kPairCells;
  const int16_t* peepholes = layer.lookup_peepholes + size_t(first) * 3 * kPairCells;
  for (int block = first; block < end; ++block, c += kPairs * kPairCells) {
    Results<kLanes> zi, zf, zg, zo;
    __m512i m16[kUsed];
    strips.Next(zi);
    strips.Next(zf);
    strips.Next(zg);
    strips.Next(zo);
    ForPairs<kUsed>([&]<int N>(int pair) __attribute__((always_inline)) {
      const auto z = [&](const Results<kLanes>& sums) {
        return PreActivations<N>(sums.z + 2 * pair);
      };
      const auto add = [&](const int16_t* p, const Registers<N>& cells, Results<kLanes>& sums) {
        AddPeepholes<N>(p, cells, sums.z + 2 * pair);
      };
      const Registers<N> before = Load<N>(c + pair * kPairCells);
      add(peepholes, before, zi);
      add(peepholes + kPairCells, before, zf);
      const auto state = UpdateCells(functions, layer.g_is_sigmoid, z(zi), z(zf), z(zg), before);
      Store(state, c + pair * kPairCells);
      add(peepholes + 2 * kPairCells, state, zo);
      Store(Hidden(functions, z(zo), state, layer.hidden_scale), m16 + pair);
    });
    StoreStrip<kLanes>(m16, block, layer.lookup_m, m);
    peepholes += 3 * kPairCells;
  }
}

template <typename Products, int kLanes>
void LookupProject(const PackedLayer& layer, const uint8_t* m, uint8_t* v) {
  StripReader<Products, kLanes> strips(layer.lookup_projection, m);
  const int first = layer.lookup_projection.first_strip;
  for (int strip = 0; strip < layer.lookup_projection.strips; ++strip) {
    __m512i words[Results<kLanes>::kPairsUsed];
    NextWords(strips, words);
    StoreStrip<kLanes>(words, first + strip, layer.lookup_v, v);
  }
}

template <typename Products, int kLanes>
void LookupLogits(const LookupMatrix& matrix, const uint8_t* v, int32_t* logits, size_t stride) {
  StripReader<Products, kLanes> strips(matrix, v);
  logits += size_t(matrix.first_strip) * kStripRows;
  for (int strip = 0; strip < matrix.strips; ++strip) {
    Results<kLanes> results;
    strips.Next(results);
#pragma GCC unroll 16
    for (int lane = 0; lane < kLanes; ++lane) {
      _mm512_store_si512(logits + lane * stride + size_t(strip) * kStripRows, results.z[lane]);
    }
  }
}

template <typename Products, int kLanes>
void LookupAnyCells(const PackedLayer& layer, const uint8_t* v, int16_t* c, uint8_t* m) {
  (layer.lookup_peepholes != nullptr ? LookupCellsWithPeepholes<Products, kLanes>
                                     : LookupCells<Products, kLanes>)(layer, v, c, m);
}

template <typename Products>
struct Avx512LookupLoops {
  template <int kLanes>
  static constexpr auto* kCells = LookupAnyCells<Products, kLanes>;
  template <int kLanes>
  static constexpr auto* kProject = LookupProject<Products, kLanes>;
  template <int kLanes>
  static constexpr auto* kLogits = LookupLogits<Products, kLanes>;
};

template <typename Products>
using Avx512Lookup = LookupByLanes<Avx512LookupLoops<Products>>;

}  // namespace
}  // namespace ese
