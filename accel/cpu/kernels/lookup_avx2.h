// SPDX-License-Identifier: Apache-2.0
// The look-up algorithm in 256-bit registers. The template parameter Dot multiplies and sums bytes,
// as in columns_avx2.h. For kernels' source files only: everything here is local to the file that
// includes it (see kernel.h).
//
//     line        64 activations of one lane                in memory, by quarters of 16
//     column      16 rows x 4 entries: where in the line    2 registers, shared by all lanes
//     weight      16 rows x 4 entries                       2, shared by all lanes
//     sum         16 rows                                   2 a lane, in memory from 3 lanes on
//
// Let column = 0b00qqnnnn. vpshufb looks up nnnn in each quarter of the line, and vpblendvb, which
// tests the upper bit of a byte, chooses among the four results by the bits q:
//
//     quarter 0 \ bit 4
//     quarter 1 /       \ bit 5
//     quarter 2 \ bit 4 /
//     quarter 3 /
//
// Packed to 16 bits, half h (8 rows) of a pair of lanes A and B is [A B A B], each of four cells.
// Cells and peepholes lie in memory in this order.
#pragma once

#include "accel/cpu/kernels/columns_avx2.h"
#include "accel/cpu/kernels/lookup_x86.h"

namespace ese {
namespace {

ESE_INLINE __m256i Load256(const void* p) {
  return _mm256_load_si256(static_cast<const __m256i*>(p));
}

// A tile's entries: rows 0 to 7, then rows 8 to 15.
template <typename Dot>
class ShuffleProducts {
 public:
  explicit ESE_INLINE ShuffleProducts(const LookupTile& tile) {
    for (int h = 0; h < 2; ++h) {
      column_[h] = Load256(tile.column[8 * h]);
      weight_[h] = Load256(tile.weight[8 * h]);
      bit4_[h] = _mm256_slli_epi16(column_[h], 3);
      bit5_[h] = _mm256_slli_epi16(column_[h], 2);
    }
  }

  ESE_INLINE void Add(__m256i (&sum)[2], const uint8_t* line) const {
    __m256i quarter[4];
    for (int q = 0; q < 4; ++q) {
      quarter[q] =
          _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(line) + q));
    }
    for (int h = 0; h < 2; ++h) {
      const auto look_up = [&](int q) { return _mm256_shuffle_epi8(quarter[q], column_[h]); };
      const __m256i low = _mm256_blendv_epi8(look_up(0), look_up(1), bit4_[h]);
      const __m256i high = _mm256_blendv_epi8(look_up(2), look_up(3), bit4_[h]);
      Dot::Add(sum[h], _mm256_blendv_epi8(low, high, bit5_[h]), weight_[h]);
    }
  }

 private:
  __m256i column_[2], weight_[2], bit4_[2], bit5_[2];
};

// One result for each row of a strip and each lane. If the number of lanes is odd, the last lane is
// paired with zeros.
template <int N>
struct StripResults {
  static constexpr int kPairsUsed = (N + 1) / 2;
  __m256i z[2 * kPairsUsed][2];
};

// Computes the results of a matrix, one strip after another.
template <typename Dot, int N>
class StripReader {
 public:
  StripReader(const LookupMatrix& matrix, const uint8_t* v)
      : matrix_(matrix),
        v_(v),
        tile_(matrix.tiles),
        line_(matrix.lines),
        right_(_mm_cvtsi32_si128(matrix.result_shift)) {}

  void Next(StripResults<N>& out) {
    const StripConstants& constants = matrix_.constants[strip_];
    const bool right_only = matrix_.right_only[strip_] != 0;
    for (auto& z : out.z) z[0] = z[1] = _mm256_setzero_si256();
    const LookupTile* const coarse_end = tile_ + matrix_.coarse_counts[strip_];
    const LookupTile* const end = tile_ + matrix_.tile_counts[strip_++];
    for (const LookupTile* part_end = coarse_end;; part_end = end) {
      for (; tile_ != part_end; ++tile_) {
        const uint8_t* line = v_ + *line_++ * kLineBytes;
        const ShuffleProducts<Dot> products(*tile_);
#pragma GCC unroll 2
        for (int lane = 0; lane < N; ++lane) products.Add(out.z[lane], line + lane * kLineColumns);
      }
      if (tile_ == end) break;
      for (auto& z : out.z) {
        for (__m256i& half : z) half = _mm256_slli_epi32(half, kFineShift);
      }
    }
    for (int lane = 0; lane < N; ++lane) {
      for (int h = 0; h < 2; ++h) {
        const __m256i shift = Load256(constants.shift + 8 * h);
        const __m256i addend = Load256(constants.addend + 8 * h);
        __m256i& z = out.z[lane][h];
        z = right_only
                ? _mm256_srav_epi32(_mm256_add_epi32(z, addend), shift)
                : _mm256_sra_epi32(_mm256_add_epi32(_mm256_sllv_epi32(z, shift), addend), right_);
      }
    }
  }

 private:
  const LookupMatrix& matrix_;
  const uint8_t* const v_;
  const LookupTile* tile_;
  const uint16_t* line_;
  const __m128i right_;
  size_t strip_ = 0;
};

// Half h of a pair of lanes, packed to 16 bits.
ESE_INLINE __m256i PairWords(const __m256i (*z)[2], int h, __m128i shift) {
  return _mm256_packs_epi32(_mm256_sra_epi32(z[0][h], shift), _mm256_sra_epi32(z[1][h], shift));
}

// Saturates both halves of a pair of lanes to 8 bits and stores them as unsigned activations.
ESE_INLINE void StorePair(__m256i first, __m256i second, bool both, const uint32_t (*offsets)[2],
                          uint8_t* lane) {
  const __m256i bytes = _mm256_xor_si256(_mm256_packs_epi16(first, second), _mm256_set1_epi8(-128));
  const __m256i by_lane =
      _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 2, 6, 1, 5, 3, 7));
  StoreLane(_mm256_castsi256_si128(by_lane), offsets, lane);
  if (both) StoreLane(_mm256_extracti128_si256(by_lane, 1), offsets, lane + kLineColumns);
}

// Adds the rounded products of the peepholes with half h of a pair's cells to its sums (7).
ESE_INLINE void AddPairPeepholes(const int16_t* peepholes, __m256i c, int h, __m256i (*z)[2]) {
  const __m256i p = Load256(peepholes), half = _mm256_set1_epi32(4);
  const __m256i low = _mm256_mullo_epi16(p, c), high = _mm256_mulhi_epi16(p, c);
  const auto add = [&](__m256i& sum, __m256i product) {
    sum = _mm256_add_epi32(sum, _mm256_srai_epi32(_mm256_add_epi32(product, half), 3));
  };
  add(z[0][h], _mm256_unpacklo_epi16(low, high));
  add(z[1][h], _mm256_unpackhi_epi16(low, high));
}

template <typename Dot, int N>
void LookupCells(const PackedLayer& layer, const uint8_t* v, int16_t* c, uint8_t* m) {
  const Functions functions(*layer.tanh);
  StripReader<Dot, N> strips(layer.lookup_gates, v);
  const int first = layer.lookup_gates.first_strip / 4, end = first + layer.lookup_gates.strips / 4;
  const int16_t* peepholes = layer.lookup_peepholes;
  const __m128i shift =
      _mm_cvtsi32_si128(peepholes != nullptr ? 8 : 0);  // only exact sums are still to be shifted
  for (int block = first; block < end; ++block) {
    StripResults<N> z[4];  // i, f, g, o
    for (auto& gate : z) strips.Next(gate);
    for (int lane = 0; lane < N; lane += 2) {
      __m256i m16[2];
      for (int h = 0; h < 2; ++h) {
        int16_t* const cells = c + (size_t(block) * kPairs + lane / 2) * kPairCells + 16 * h;
        const auto words = [&](int gate) { return PairWords(&z[gate].z[lane], h, shift); };
        const auto add_peepholes = [&](int which, int gate, __m256i state) {
          if (peepholes == nullptr) return;
          AddPairPeepholes(peepholes + (size_t(block) * 3 + which) * kPairCells + 16 * h, state, h,
                           &z[gate].z[lane]);
        };
        __m256i state = Load256(cells);
        add_peepholes(0, 0, state);
        add_peepholes(1, 1, state);
        state = UpdateState(functions, layer.g_is_sigmoid, words(0), words(1), words(2), state);
        _mm256_store_si256(reinterpret_cast<__m256i*>(cells), state);
        add_peepholes(2, 3, state);
        m16[h] = Hidden(functions, words(3), state, layer.hidden_scale);
      }
      StorePair(m16[0], m16[1], lane + 1 < N, layer.lookup_m.offsets + 2 * block,
                m + lane * kLineColumns);
    }
  }
}

template <typename Dot, int N>
void LookupProject(const PackedLayer& layer, const uint8_t* m, uint8_t* v) {
  const LookupMatrix& matrix = layer.lookup_projection;
  StripReader<Dot, N> strips(matrix, m);
  const __m128i none = _mm_setzero_si128();
  for (int strip = matrix.first_strip; strip < matrix.first_strip + matrix.strips; ++strip) {
    StripResults<N> y;
    strips.Next(y);
    for (int lane = 0; lane < N; lane += 2) {
      StorePair(PairWords(&y.z[lane], 0, none), PairWords(&y.z[lane], 1, none), lane + 1 < N,
                layer.lookup_v.offsets + 2 * strip, v + lane * kLineColumns);
    }
  }
}

template <typename Dot, int N>
void LookupLogits(const LookupMatrix& matrix, const uint8_t* v, int32_t* logits, size_t stride) {
  StripReader<Dot, N> strips(matrix, v);
  logits += size_t(matrix.first_strip) * kStripRows;
  for (int strip = 0; strip < matrix.strips; ++strip, logits += kStripRows) {
    StripResults<N> results;
    strips.Next(results);
    for (int lane = 0; lane < N; ++lane) {
      __builtin_memcpy(logits + lane * stride, results.z[lane], sizeof(results.z[lane]));
    }
  }
}

template <typename Dot>
struct Avx2LookupLoops {
  template <int N>
  static constexpr auto* kCells = LookupCells<Dot, N>;
  template <int N>
  static constexpr auto* kProject = LookupProject<Dot, N>;
  template <int N>
  static constexpr auto* kLogits = LookupLogits<Dot, N>;
};

template <typename Dot>
using Avx2Lookup = LookupByLanes<Avx2LookupLoops<Dot>>;

}  // namespace
}  // namespace ese
