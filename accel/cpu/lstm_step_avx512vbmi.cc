// The kernel for AVX-512 with VNNI and VBMI (Ice Lake, Zen 4 and later): lstm_step_avx512.h by
// VNNI, and for few lanes the products by look-up:
//
//     low, high   128 activations of one lane (a tile);     2 registers a lane
//                 the next tile's low is this one's high
//     column      16 rows x 4 entries: where in the tile    1, shared by all lanes
//     weight      16 rows x 4 entries                       1, shared by all lanes
//     sum         16 rows                                   1 a lane
//
//     sum += vpdpbusd(vpermi2b(low, column, high), weight)
//
// Eight lanes take 26 of 32 registers. A strip's 16 rows are one gate of 16 cells, so that the cell
// update takes 16 cells of a lane at once, in the places where they lie in the stream's state.
//
// Loads set the pace of the other kernel, one for each entry and column of lanes; here there are
// two for 64 entries.
#include "accel/cpu/kernel.h"

#if defined(__x86_64__)
#include "accel/cpu/avx512_inline.h"

namespace ese {
namespace {

// Aligned sums of the next strip, for each lane.
template <int kLanes>
class StripSums {
 public:
  StripSums(const LookupMatrix& matrix, LaneArrays<const uint8_t> v)
      : matrix_(matrix), v_(v), step_(matrix.steps), count_(matrix.counts) {}

  ESE_INLINE void Next(__m512i (&out)[kLanes]) {
    __m512i sum[kLanes], low[kLanes], high[kLanes];
#pragma GCC unroll 8
    for (int lane = 0; lane < kLanes; ++lane) {
      sum[lane] = _mm512_setzero_si512();
      high[lane] = _mm512_loadu_si512(v_.data + lane * v_.stride);
    }
    for (int tile = 0; tile < matrix_.tiles; ++tile) {
      const uint8_t* next = v_.data + size_t(tile + 1) * kTileStride;
#pragma GCC unroll 8
      for (int lane = 0; lane < kLanes; ++lane) {
        low[lane] = high[lane];
        high[lane] = _mm512_loadu_si512(next + lane * v_.stride);
      }
      for (const LookupStep* const end = step_ + *count_; step_ != end; ++step_) {
        const __m512i column = _mm512_load_si512(step_->column);
        const __m512i weight = _mm512_load_si512(step_->weight);
#pragma GCC unroll 8
        for (int lane = 0; lane < kLanes; ++lane) {
          VnniDot::Add(sum[lane], _mm512_permutex2var_epi8(low[lane], column, high[lane]), weight);
        }
      }
      ++count_;
    }
    const __m512i shift = _mm512_load_si512(matrix_.shift + strip_ * kStripRows);
    const __m512i addend = _mm512_load_si512(matrix_.addend + strip_ * kStripRows);
    ++strip_;
#pragma GCC unroll 8
    for (int lane = 0; lane < kLanes; ++lane) {
      out[lane] = _mm512_add_epi32(_mm512_sllv_epi32(sum[lane], shift), addend);
    }
  }

 private:
  const LookupMatrix& matrix_;
  const LaneArrays<const uint8_t> v_;
  const LookupStep* step_;
  const uint8_t* count_;
  size_t strip_ = 0;
};

ESE_INLINE __m256i Load16(const int16_t* p) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}

// A pre-activation: the sum shifted and saturated to 16 bits, in the lower half.
ESE_INLINE __m512i ToPreActivations(__m512i sum) {
  return _mm512_castsi256_si512(_mm512_cvtsepi32_epi16(_mm512_srai_epi32(sum, 8)));
}

// The rounded products of peepholes with c (7).
ESE_INLINE __m512i PeepholeTerms(const int16_t* peepholes, __m256i c) {
  const __m512i product =
      _mm512_mullo_epi32(_mm512_cvtepi16_epi32(Load16(peepholes)), _mm512_cvtepi16_epi32(c));
  return _mm512_srai_epi32(_mm512_add_epi32(product, _mm512_set1_epi32(4)), 3);
}

// Rounded to 8 bits by now; stored as unsigned activations.
ESE_INLINE void StoreUnsigned(__m128i x, uint8_t* out) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_xor_si128(x, _mm_set1_epi8(-128)));
}

// Sixteen cells of one lane; z has the sums of i, f, g, o.
ESE_INLINE void UpdateCells(const Functions& functions, bool g_is_sigmoid, const int16_t* peepholes,
                            const __m512i (&z)[4], int16_t* c, uint8_t* m) {
  const __m256i before = Load16(c);
  __m512i zi = z[0], zf = z[1], zo = z[3];
  if (peepholes != nullptr) {
    zi = _mm512_add_epi32(zi, PeepholeTerms(peepholes, before));
    zf = _mm512_add_epi32(zf, PeepholeTerms(peepholes + kStripRows, before));
  }
  const __m512i zg = ToPreActivations(z[2]);
  const __m512i g = g_is_sigmoid ? functions.Sigmoid(zg) : functions.Tanh(Twice(zg));
  const __m512i after =
      UpdateCell(functions.Sigmoid(ToPreActivations(zf)), _mm512_castsi256_si512(before),
                 functions.Sigmoid(ToPreActivations(zi)), g);
  const __m256i stored = _mm512_castsi512_si256(after);
  _mm256_store_si256(reinterpret_cast<__m256i*>(c), stored);
  if (peepholes != nullptr) {
    zo = _mm512_add_epi32(zo, PeepholeTerms(peepholes + 2 * kStripRows, stored));
  }
  const __m512i hidden =
      HiddenOf(functions.Sigmoid(ToPreActivations(zo)), functions.Tanh(Twice(Twice(after))));
  StoreUnsigned(_mm256_cvtsepi16_epi8(_mm512_castsi512_si256(hidden)), m);
}

template <int kLanes>
void CellsImpl(const PackedLayer& layer, LaneArrays<const uint8_t> v, LaneArrays<int16_t> c,
               LaneArrays<uint8_t> m) {
  const Functions functions(*layer.tanh);
  StripSums<kLanes> sums(layer.few_gates, v);
  const int16_t* peepholes = layer.few_peepholes;
  for (int cell = 0; cell < layer.cells; cell += kStripRows) {
    __m512i z[4][kLanes];
    for (auto& gate : z) sums.Next(gate);
#pragma GCC unroll 1
    for (int lane = 0; lane < kLanes; ++lane) {
      UpdateCells(functions, layer.g_is_sigmoid, peepholes,
                  {z[0][lane], z[1][lane], z[2][lane], z[3][lane]}, c.data + lane * c.stride + cell,
                  m.data + lane * m.stride + cell);
    }
    if (peepholes != nullptr) peepholes += 3 * kStripRows;
  }
}

template <int kLanes>
void ProjectImpl(const LookupMatrix& matrix, int shift, LaneArrays<const uint8_t> m,
                 LaneArrays<uint8_t> y) {
  const __m128i count = _mm_cvtsi32_si128(shift);
  StripSums<kLanes> sums(matrix, m);
  for (int strip = 0; strip < matrix.strips; ++strip) {
    __m512i z[kLanes];
    sums.Next(z);
    for (int lane = 0; lane < kLanes; ++lane) {
      StoreUnsigned(_mm512_cvtsepi32_epi8(_mm512_sra_epi32(z[lane], count)),
                    y.data + lane * y.stride + size_t(strip) * kStripRows);
    }
  }
}

template <int kLanes>
void LogitsImpl(const LookupMatrix& matrix, LaneArrays<const uint8_t> y,
                LaneArrays<int32_t> logits) {
  StripSums<kLanes> sums(matrix, y);
  for (int strip = 0; strip < matrix.strips; ++strip) {
    __m512i z[kLanes];
    sums.Next(z);
    for (int lane = 0; lane < kLanes; ++lane) {
      _mm512_store_si512(logits.data + lane * logits.stride + size_t(strip) * kStripRows, z[lane]);
    }
  }
}

// The functions for each number of lanes, from 1.
template <int... kLess1>
struct Table {
  static constexpr decltype(&CellsImpl<1>) kCells[] = {CellsImpl<kLess1 + 1>...};
  static constexpr decltype(&ProjectImpl<1>) kProject[] = {ProjectImpl<kLess1 + 1>...};
  static constexpr decltype(&LogitsImpl<1>) kLogits[] = {LogitsImpl<kLess1 + 1>...};
};
using ByLanes = Table<0, 1, 2, 3, 4, 5, 6, 7>;

class ByLookup final : public FewLanesKernel {
 public:
  void Cells(const PackedLayer& layer, int lanes, LaneArrays<const uint8_t> v,
             LaneArrays<int16_t> c, LaneArrays<uint8_t> m) const override {
    ByLanes::kCells[lanes - 1](layer, v, c, m);
  }
  void Project(const LookupMatrix& matrix, int shift, int lanes, LaneArrays<const uint8_t> m,
               LaneArrays<uint8_t> y) const override {
    ByLanes::kProject[lanes - 1](matrix, shift, m, y);
  }
  void Logits(const LookupMatrix& matrix, int lanes, LaneArrays<const uint8_t> y,
              LaneArrays<int32_t> logits) const override {
    ByLanes::kLogits[lanes - 1](matrix, y, logits);
  }
};

class Avx512Vbmi final : public StepKernel {
 public:
  const char* name() const override { return "avx512vbmi"; }
  bool Supported() const override {
    return columns_->Supported() && __builtin_cpu_supports("avx512vbmi");
  }
  const FewLanesKernel* few_lanes() const override { return &by_lookup_; }

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
  const StepKernel* const columns_ = Avx512VnniKernel();
  ByLookup by_lookup_;
};

}  // namespace

const StepKernel* Avx512VbmiKernel() {
  static const Avx512Vbmi kernel;
  return &kernel;
}

}  // namespace ese

#else

namespace ese {
const StepKernel* Avx512VbmiKernel() { return nullptr; }
}  // namespace ese

#endif
