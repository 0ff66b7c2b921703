// The kernel for every processor, in plain C++ that compilers vectorise.
#include <algorithm>
#include <cstring>

#include "accel/cpu/kernel.h"
#include "model/arithmetic.h"

namespace ese {
namespace {

// Aligned sums of a group's four rows: z[row][lane].
template <int kWidth>
struct GroupSums {
  int32_t z[kBlockRows][kWidth];
};

constexpr int kChunk = 16;  // lanes that compilers keep in registers through a row

// One row's share of a block: a chunk of four columns, each times its weight. A weight is within
// [-64, 63], so two products fit 16 bits: 2 x 64 x 255 < 2^15.
template <int kWidth>
inline void AddBlockRow(const EntryBlock& block, int row, const uint8_t* __restrict v,
                        uint32_t* __restrict sum) {
  const auto column = [&](int k) {
    return v + size_t{block.column8[row][k]} * kWidth / kColumnUnit;
  };
  const uint8_t *a = column(0), *b = column(1), *c = column(2), *d = column(3);
  const int16_t wa = block.weight[row][0], wb = block.weight[row][1];
  const int16_t wc = block.weight[row][2], wd = block.weight[row][3];
  for (int lane = 0; lane < kChunk; ++lane) {
    const auto ab = static_cast<int16_t>(a[lane] * wa + b[lane] * wb);
    const auto cd = static_cast<int16_t>(c[lane] * wc + d[lane] * wd);
    sum[lane] += static_cast<uint32_t>(int32_t{ab} + int32_t{cd});
  }
}

// Sums are of unsigned activations and may pass 2^31 on the way: they wrap, and the addend's
// correction brings them back (see RowConstants).
template <int kWidth>
void SumGroup(const PackedMatrix& matrix, int group, const uint8_t* v, GroupSums<kWidth>* out) {
  const EntryBlock* blocks = matrix.blocks + size_t(group) * matrix.blocks_per_group;
  const RowConstants& constants = matrix.constants[group];
  for (int row = 0; row < kBlockRows; ++row) {
    for (int first = 0; first < kWidth; first += kChunk) {
      uint32_t sum[kChunk] = {};
      for (int b = 0; b < matrix.blocks_per_group; ++b) {
        AddBlockRow<kWidth>(blocks[b], row, v + first, sum);
      }
      for (int lane = 0; lane < kChunk; ++lane) {
        out->z[row][first + lane] = static_cast<int32_t>(
            (sum[lane] << constants.shift[row]) + static_cast<uint32_t>(constants.addend[row]));
      }
    }
  }
}

// The halves that rounding needs are in the addends already.
PreActivation Truncate(int32_t z) { return {Saturate<int16_t>(z >> kPreActivationShift)}; }

// One cell of one lane (equations 7 to 12). Returns m as an unsigned activation.
inline uint8_t UpdateLane(const PackedLayer& layer, const int16_t* peephole, int32_t zi, int32_t zf,
                          int32_t zg, int32_t zo, int16_t* c) {
  const Cell before{*c};
  if (peephole != nullptr) {
    zi += PeepholeTerm({peephole[0]}, before);
    zf += PeepholeTerm({peephole[1]}, before);
  }
  const Gate g = layer.g_is_sigmoid ? Sigmoid(Truncate(zg)) : Tanh(ToTanhInput(Truncate(zg)));
  const Cell after = UpdateCell(Sigmoid(Truncate(zf)), before, Sigmoid(Truncate(zi)), g);
  if (peephole != nullptr) zo += PeepholeTerm({peephole[2]}, after);
  *c = after.raw;
  const Hidden m = ToHidden(Sigmoid(Truncate(zo)), Tanh(ToTanhInput(after)));
  return static_cast<uint8_t>(m.raw + 128);
}

template <int kWidth>
void CellsImpl(const PackedLayer& layer, const uint8_t* v, int16_t* c, uint8_t* m) {
  GroupSums<kWidth> sums;
  for (int cell = 0; cell < layer.cells; ++cell, c += kWidth, m += kWidth) {
    SumGroup<kWidth>(layer.gates, cell, v, &sums);
    const int16_t* peephole = layer.peepholes == nullptr ? nullptr : layer.peepholes + 4 * cell;
    for (int lane = 0; lane < kWidth; ++lane) {
      m[lane] = UpdateLane(layer, peephole, sums.z[0][lane], sums.z[1][lane], sums.z[2][lane],
                           sums.z[3][lane], c + lane);
    }
  }
}

template <int kWidth>
void ProjectImpl(const PackedMatrix& matrix, int shift, const uint8_t* m, uint8_t* y) {
  GroupSums<kWidth> sums;
  for (int group = 0; group < matrix.groups; ++group) {
    SumGroup<kWidth>(matrix, group, m, &sums);
    for (int row = 0; row < kBlockRows; ++row, y += kWidth) {
      for (int lane = 0; lane < kWidth; ++lane) {
        y[lane] = static_cast<uint8_t>(std::clamp(sums.z[row][lane] >> shift, -128, 127) + 128);
      }
    }
  }
}

template <int kWidth>
void LogitsImpl(const PackedMatrix& matrix, const uint8_t* y, int32_t* logits) {
  GroupSums<kWidth> sums;
  for (int group = 0; group < matrix.groups; ++group) {
    SumGroup<kWidth>(matrix, group, y, &sums);
    std::memcpy(logits + size_t(group) * kBlockRows * kWidth, sums.z, sizeof(sums.z));
  }
}

class Portable final : public StepKernel {
 public:
  const char* name() const override { return "portable"; }
  bool Supported() const override { return true; }

  void Cells(const PackedLayer& layer, int width, const uint8_t* v, int16_t* c,
             uint8_t* m) const override {
    (width == 64 ? CellsImpl<64> : width == 32 ? CellsImpl<32> : CellsImpl<16>)(layer, v, c, m);
  }
  void Project(const PackedMatrix& matrix, int shift, int width, const uint8_t* m,
               uint8_t* y) const override {
    (width == 64   ? ProjectImpl<64>
     : width == 32 ? ProjectImpl<32>
                   : ProjectImpl<16>)(matrix, shift, m, y);
  }
  void Logits(const PackedMatrix& matrix, int width, const uint8_t* y,
              int32_t* logits) const override {
    (width == 64   ? LogitsImpl<64>
     : width == 32 ? LogitsImpl<32>
                   : LogitsImpl<16>)(matrix, y, logits);
  }
};

}  // namespace

const StepKernel* PortableKernel() {
  static const Portable kernel;
  return &kernel;
}

}  // namespace ese
