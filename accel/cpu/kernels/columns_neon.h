// SPDX-License-Identifier: Apache-2.0
// The columns algorithm in arm64's 128-bit registers. The template parameter Dot multiplies and
// sums bytes. It has these static functions:
//   Prepare(u8)              converts activations to the form that Add takes
//   Add(sum, prepared, s8)   adds to each dword of sum its four products
//   Lost(weights)            what the conversion takes away from each sum, given the row's sum of
//                            weights
// For kernels' source files only: everything here is local to the file that includes it (see
// kernel.h).
//
// Sixteen lanes at a time. Four entries of a row have columns A B C D; every dword holds their four
// weights:
//
//     A a0 a1 .. a15 \ zip8   a0 b0 a1 b1 ..  \ zip16   a0 b0 c0 d0 a1 b1 c1 d1 ..
//     B b0 b1 .. b15 /                        /            x w0 w1 w2 w3 w0 w1 w2 w3 ..
//     C c0 c1 .. c15 \        c0 d0 c1 d1 ..  /            = sums of four (32 bits)
//     D d0 d1 .. d15 /
//
// sum[k] has lanes 4 k ... + 3. The sums of a group's four rows take 16 of the 32 registers.
#pragma once

#include <arm_neon.h>

#include "accel/cpu/kernels/kernel.h"

namespace ese {
namespace {

#define ESE_INLINE inline __attribute__((always_inline))

constexpr int kLanes = 16;  // at a time

struct Sums {
  int32x4_t v[4];
};

// 16-bit values of 16 lanes.
struct Words {
  int16x8_t v[2];
};

template <typename Dot>
ESE_INLINE void AddEntries(const uint8_t* v, size_t bytes_per_unit, const uint16_t* column8,
                           int8x16_t weights, Sums& sum) {
  const auto column = [&](int k) {
    return Dot::Prepare(vld1q_u8(v + column8[k] * bytes_per_unit));
  };
  const auto a = column(0), b = column(1), c = column(2), d = column(3);
  const auto wide = [](auto x, auto y, bool high) {
    return vreinterpretq_u16_u8(high ? vzip2q_u8(x, y) : vzip1q_u8(x, y));
  };
  const uint16x8_t ab0 = wide(a, b, false), ab1 = wide(a, b, true);
  const uint16x8_t cd0 = wide(c, d, false), cd1 = wide(c, d, true);
  Dot::Add(sum.v[0], vreinterpretq_u8_u16(vzip1q_u16(ab0, cd0)), weights);
  Dot::Add(sum.v[1], vreinterpretq_u8_u16(vzip2q_u16(ab0, cd0)), weights);
  Dot::Add(sum.v[2], vreinterpretq_u8_u16(vzip1q_u16(ab1, cd1)), weights);
  Dot::Add(sum.v[3], vreinterpretq_u8_u16(vzip2q_u16(ab1, cd1)), weights);
}

// The aligned sums of a group's four rows for the 16 lanes from v on.
template <typename Dot>
ESE_INLINE void SumGroup(const PackedMatrix& matrix, int group, int width, const uint8_t* v,
                         Sums (&sums)[kBlockRows]) {
  const size_t bytes_per_unit = static_cast<size_t>(width) / kColumnUnit;
  int32x4_t weight_sums = vdupq_n_s32(0);  // one for each row
  for (Sums& sum : sums) {
    for (int32x4_t& x : sum.v) x = vdupq_n_s32(0);
  }
  const EntryBlock* block = matrix.blocks + size_t(group) * matrix.blocks_per_group;
  const EntryBlock* const coarse_end = block + matrix.coarse_blocks;
  const EntryBlock* const end = block + matrix.blocks_per_group;
  for (const EntryBlock* part_end = coarse_end;; part_end = end) {
    for (; block != part_end; ++block) {
      const int8x16_t all = vld1q_s8(&block->weight[0][0]);
      weight_sums = vdotq_s32(weight_sums, all, vdupq_n_s8(1));
      const int32x4_t rows = vreinterpretq_s32_s8(all);
      const auto weights = [&](int32x4_t row) { return vreinterpretq_s8_s32(row); };
      AddEntries<Dot>(v, bytes_per_unit, block->column8[0], weights(vdupq_laneq_s32(rows, 0)),
                      sums[0]);
      AddEntries<Dot>(v, bytes_per_unit, block->column8[1], weights(vdupq_laneq_s32(rows, 1)),
                      sums[1]);
      AddEntries<Dot>(v, bytes_per_unit, block->column8[2], weights(vdupq_laneq_s32(rows, 2)),
                      sums[2]);
      AddEntries<Dot>(v, bytes_per_unit, block->column8[3], weights(vdupq_laneq_s32(rows, 3)),
                      sums[3]);
    }
    if (block == end) break;
    weight_sums = vshlq_n_s32(weight_sums, kFineShift);
    for (Sums& sum : sums) {
      for (int32x4_t& x : sum.v) x = vshlq_n_s32(x, kFineShift);
    }
  }
  int32_t of_row[kBlockRows];
  vst1q_s32(of_row, weight_sums);
  const RowConstants& constants = matrix.constants[group];
  for (int row = 0; row < kBlockRows; ++row) {
    const int32x4_t lost = Dot::Lost(vdupq_n_s32(of_row[row]));
    const int32x4_t shift = vdupq_n_s32(constants.shift[row]);
    const int32x4_t addend = vdupq_n_s32(constants.addend[row]);
    for (int32x4_t& x : sums[row].v) {
      x = vaddq_s32(vshlq_s32(vaddq_s32(x, lost), shift), addend);
    }
  }
}

// Shifts sums right and saturates them to 16 bits. `left` is minus the shift.
ESE_INLINE Words ToWords(const Sums& sum, int32x4_t left) {
  const auto narrow = [&](int k) { return vqmovn_s32(vshlq_s32(sum.v[k], left)); };
  return {vcombine_s16(narrow(0), narrow(1)), vcombine_s16(narrow(2), narrow(3))};
}

// Saturates words to 8 bits and stores them as unsigned activations.
ESE_INLINE void StoreActivations(const Words& x, uint8_t* out) {
  const int8x16_t bytes = vcombine_s8(vqmovn_s16(x.v[0]), vqmovn_s16(x.v[1]));
  vst1q_u8(out, veorq_u8(vreinterpretq_u8_s8(bytes), vdupq_n_u8(0x80)));
}

// Adds the rounded product of a peephole with c to aligned sums (7).
ESE_INLINE void AddPeephole(int16_t peephole, const Words& c, Sums& sum) {
  for (int h = 0; h < 2; ++h) {
    const int32x4_t low = vmull_n_s16(vget_low_s16(c.v[h]), peephole);
    const int32x4_t high = vmull_n_s16(vget_high_s16(c.v[h]), peephole);
    sum.v[2 * h] = vaddq_s32(sum.v[2 * h], vrshrq_n_s32(low, 3));
    sum.v[2 * h + 1] = vaddq_s32(sum.v[2 * h + 1], vrshrq_n_s32(high, 3));
  }
}

// The scalar functions of model/arithmetic.h for 8 lanes. A rounded Q0.15 product is one sqrdmulh.
// A table of 32 coefficients takes four registers, and one tbl looks up in it.
class Functions {
 public:
  explicit Functions(const TanhTable& table)
      : c0_(Load(table.c0)), c1_(Load(table.c1)), c2_(Load(table.c2)), c3_(Load(table.c3)) {}

  ESE_INLINE int16x8_t Tanh(int16x8_t u) const { return WithSignOf(u, Magnitude(u)); }
  ESE_INLINE int16x8_t Sigmoid(int16x8_t z) const {
    return vaddq_s16(vdupq_n_s16(1 << 14), WithSignOf(z, vshrq_n_s16(Magnitude(z), 1)));
  }

 private:
  static uint8x16x4_t Load(const int16_t* table) {
    return vld1q_u8_x4(reinterpret_cast<const uint8_t*>(table));
  }
  static ESE_INLINE int16x8_t WithSignOf(int16x8_t u, int16x8_t magnitude) {
    const int16x8_t sign = vshrq_n_s16(u, 15);
    return vsubq_s16(veorq_s16(magnitude, sign), sign);
  }
  // TanhMagnitude(|u|), with |u| saturated (4).
  ESE_INLINE int16x8_t Magnitude(int16x8_t u) const {
    const int16x8_t n = vqabsq_s16(u);
    const int16x8_t t = vshlq_n_s16(vandq_s16(n, vdupq_n_s16(1023)), 5);
    // The indices of the two bytes of segment k's coefficient: 2 k and 2 k + 1.
    const uint16x8_t k = vreinterpretq_u16_s16(vshrq_n_s16(n, 10));
    const uint8x16_t bytes = vreinterpretq_u8_u16(vmlaq_n_u16(vdupq_n_u16(0x0100), k, 0x0202));
    const auto coefficient = [&](const uint8x16x4_t& table) {
      return vreinterpretq_s16_u8(vqtbl4q_u8(table, bytes));
    };
    const auto horner = [&](const uint8x16x4_t& c, int16x8_t p) {
      return vaddq_s16(coefficient(c), vqrdmulhq_s16(p, t));
    };
    return horner(c0_, horner(c1_, horner(c2_, coefficient(c3_))));
  }

  uint8x16x4_t c0_, c1_, c2_, c3_;
};

ESE_INLINE int16x8_t Twice(int16x8_t x) { return vqaddq_s16(x, x); }

// c' = f c + i g (10).
ESE_INLINE int16x8_t UpdateCell(int16x8_t f, int16x8_t c, int16x8_t i, int16x8_t g) {
  const int16x8_t added = vqrdmulhq_s16(vqrdmulhq_s16(i, g), vdupq_n_s16(1 << 10));
  return vqaddq_s16(vqrdmulhq_s16(f, c), added);
}

// m = o tanh(c), before saturation (12).
ESE_INLINE int16x8_t HiddenOf(int16x8_t o, int16x8_t tanh_c, int16_t scale) {
  return vqrdmulhq_s16(vqrdmulhq_s16(o, tanh_c), vdupq_n_s16(scale));
}

// The kernel without its name and its test for support.
template <typename Dot>
class NeonColumns : public Kernel {
 public:
  void Cells(const PackedLayer& layer, int width, const uint8_t* v, int16_t* c,
             uint8_t* m) const override {
    const Functions functions(*layer.tanh);
    for (int cell = 0; cell < layer.cells; ++cell) {
      for (int lane = 0; lane < width; lane += kLanes, c += kLanes, m += kLanes) {
        Sums sums[kBlockRows];
        SumGroup<Dot>(layer.gates, cell, width, v + lane, sums);
        UpdateLanes(layer, functions, cell, sums, c, m);
      }
    }
  }
  void Project(const PackedMatrix& matrix, int shift, int width, const uint8_t* m,
               uint8_t* y) const override {
    for (int group = 0; group < matrix.groups; ++group, y += size_t(kBlockRows) * width) {
      for (int lane = 0; lane < width; lane += kLanes) {
        Sums sums[kBlockRows];
        SumGroup<Dot>(matrix, group, width, m + lane, sums);
        for (int row = 0; row < kBlockRows; ++row) {
          StoreActivations(ToWords(sums[row], vdupq_n_s32(-shift)), y + row * width + lane);
        }
      }
    }
  }
  void Logits(const PackedMatrix& matrix, int width, const uint8_t* y,
              int32_t* logits) const override {
    for (int group = 0; group < matrix.groups; ++group, logits += size_t(kBlockRows) * width) {
      for (int lane = 0; lane < width; lane += kLanes) {
        Sums sums[kBlockRows];
        SumGroup<Dot>(matrix, group, width, y + lane, sums);
        for (int row = 0; row < kBlockRows; ++row) {
          for (int k = 0; k < 4; ++k) {
            vst1q_s32(logits + row * width + lane + 4 * k, sums[row].v[k]);
          }
        }
      }
    }
  }

 protected:
  ~NeonColumns() = default;

 private:
  // Updates one cell of 16 lanes.
  static ESE_INLINE void UpdateLanes(const PackedLayer& layer, const Functions& functions, int cell,
                                     Sums (&sums)[kBlockRows], int16_t* c, uint8_t* m) {
    const int32x4_t left = vdupq_n_s32(-8);
    const int16_t* peephole = layer.peepholes == nullptr ? nullptr : layer.peepholes + 4 * cell;
    Words state = {vld1q_s16(c), vld1q_s16(c + 8)};
    if (peephole != nullptr) {
      AddPeephole(peephole[0], state, sums[0]);
      AddPeephole(peephole[1], state, sums[1]);
    }
    const Words zi = ToWords(sums[0], left), zf = ToWords(sums[1], left);
    const Words zg = ToWords(sums[2], left);
    for (int h = 0; h < 2; ++h) {
      const int16x8_t g =
          layer.g_is_sigmoid ? functions.Sigmoid(zg.v[h]) : functions.Tanh(Twice(zg.v[h]));
      state.v[h] =
          UpdateCell(functions.Sigmoid(zf.v[h]), state.v[h], functions.Sigmoid(zi.v[h]), g);
      vst1q_s16(c + 8 * h, state.v[h]);
    }
    if (peephole != nullptr) AddPeephole(peephole[2], state, sums[3]);
    Words hidden = ToWords(sums[3], left);
    for (int h = 0; h < 2; ++h) {
      const int16x8_t tanh_c = functions.Tanh(Twice(Twice(state.v[h])));
      hidden.v[h] = HiddenOf(functions.Sigmoid(hidden.v[h]), tanh_c, layer.hidden_scale);
    }
    StoreActivations(hidden, m);
  }
};

}  // namespace
}  // namespace ese
