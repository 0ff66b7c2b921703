// SPDX-License-Identifier: Apache-2.0
// The kernel for every processor, in plain C++. Compilers vectorise its columns algorithm.
#include <algorithm>
#include <cstring>

#include "accel/cpu/kernels/columns_by_width.h"
#include "accel/cpu/kernels/kernel.h"
#include "model/arithmetic.h"

namespace ese {
namespace {

// The aligned sums of a group's four rows: z[row][lane].
template <int kWidth>
struct GroupSums {
  int32_t z[kBlockRows][kWidth];
};

constexpr int kChunk = 16;  // lanes whose sums stay in registers through a row

// Adds one row's products of a block for kChunk lanes: four columns, each times its weight. Weights
// are within [-64, 63], so the sum of two products fits 16 bits: 2 x 64 x 255 < 2^15.
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

// The sums are over unsigned activations and may exceed 2^31 on the way. They wrap, and the addend
// corrects that (see RowConstants).
template <int kWidth>
void SumGroup(const PackedMatrix& matrix, int group, const uint8_t* v, GroupSums<kWidth>* out) {
  const EntryBlock* blocks = matrix.blocks + size_t(group) * matrix.blocks_per_group;
  const RowConstants& constants = matrix.constants[group];
  for (int row = 0; row < kBlockRows; ++row) {
    for (int first = 0; first < kWidth; first += kChunk) {
      uint32_t sum[kChunk] = {};
      int b = 0;
      for (int part_end = matrix.coarse_blocks;; part_end = matrix.blocks_per_group) {
        for (; b < part_end; ++b) AddBlockRow<kWidth>(blocks[b], row, v + first, sum);
        if (b == matrix.blocks_per_group) break;
        for (uint32_t& x : sum) x <<= kFineShift;
      }
      for (int lane = 0; lane < kChunk; ++lane) {
        out->z[row][first + lane] = static_cast<int32_t>(
            (sum[lane] << constants.shift[row]) + static_cast<uint32_t>(constants.addend[row]));
      }
    }
  }
}

// The addends already hold the half that makes this shift round.
PreActivation Truncate(int32_t z) { return {Saturate<int16_t>(z >> kPreActivationShift)}; }

// The update of one cell of one lane (equations 9 to 12) is in two parts, because a peephole may
// come between them. This part gives c'.
inline Cell NextCell(const PackedLayer& layer, PreActivation zi, PreActivation zf, PreActivation zg,
                     Cell before) {
  const Gate g = layer.g_is_sigmoid ? Sigmoid(zg) : Tanh(ToTanhInput(zg));
  return UpdateCell(Sigmoid(zf), before, Sigmoid(zi), g);
}
// This part gives m, as an unsigned activation.
inline uint8_t HiddenOf(const PackedLayer& layer, PreActivation zo, Cell after) {
  const Gate tanh_c = Tanh(ToTanhInput(after));
  const int32_t m = MultiplyQ15(MultiplyQ15(Sigmoid(zo).raw, tanh_c.raw), layer.hidden_scale);
  return static_cast<uint8_t>(Saturate<int8_t>(m) + 128);
}

// Updates one cell of one lane from its exact sums. Returns m as an unsigned activation.
inline uint8_t UpdateLane(const PackedLayer& layer, const int16_t* peephole, int32_t zi, int32_t zf,
                          int32_t zg, int32_t zo, int16_t* c) {
  const Cell before{*c};
  if (peephole != nullptr) {
    zi += PeepholeTerm({peephole[0]}, before);
    zf += PeepholeTerm({peephole[1]}, before);
  }
  const Cell after = NextCell(layer, Truncate(zi), Truncate(zf), Truncate(zg), before);
  if (peephole != nullptr) zo += PeepholeTerm({peephole[2]}, after);
  *c = after.raw;
  return HiddenOf(layer, Truncate(zo), after);
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

// Computes the results of a matrix by look-up, one strip after another and one lane after another.
class StripReader {
 public:
  StripReader(const LookupMatrix& matrix, const uint8_t* v)
      : matrix_(matrix), v_(v), tile_(matrix.tiles), line_(matrix.lines) {}

  void Next(int lanes, int32_t (*z)[kStripRows]) {
    const int tiles = matrix_.tile_counts[strip_];
    for (int lane = 0; lane < lanes; ++lane)
      NextLane(tiles, v_ + size_t(lane) * kLineColumns, z[lane]);
    tile_ += tiles;
    line_ += tiles;
    ++strip_;
  }

 private:
  void NextLane(int tiles, const uint8_t* v, int32_t* z) const {
    const int coarse_tiles = matrix_.coarse_counts[strip_];
    uint32_t sum[kStripRows] = {};
    for (int t = 0; t < tiles; ++t) {
      if (t == coarse_tiles) {
        for (uint32_t& x : sum) x <<= kFineShift;
      }
      const uint8_t* line = v + size_t{line_[t]} * kLookupLanes * kLineColumns;
      for (int r = 0; r < kStripRows; ++r) {
        for (int k = 0; k < kBlockEntries; ++k) {
          sum[r] += static_cast<uint32_t>(tile_[t].weight[r][k] * line[tile_[t].column[r][k]]);
        }
      }
    }
    const StripConstants& constants = matrix_.constants[strip_];
    for (int r = 0; r < kStripRows; ++r) {
      const auto addend = static_cast<uint32_t>(constants.addend[r]);
      const int shift = constants.shift[r];
      z[r] = matrix_.right_only[strip_]
                 ? static_cast<int32_t>(sum[r] + addend) >> shift
                 : static_cast<int32_t>((sum[r] << shift) + addend) >> matrix_.result_shift;
    }
  }

  const LookupMatrix& matrix_;
  const uint8_t* const v_;
  const LookupTile* tile_;
  const uint16_t* line_;
  size_t strip_ = 0;
};

// Stores both copies of a lane's activation.
void StoreActivation(const LookupVector& layout, uint8_t* v, int column, int lane, uint8_t value) {
  for (const uint32_t offset : layout.offsets[column / kGranule]) {
    v[offset + size_t(lane) * kLineColumns + column % kGranule] = value;
  }
}

class PortableLookup final : public LookupKernel {
 public:
  void Cells(const PackedLayer& layer, int lanes, const uint8_t* v, int16_t* c,
             uint8_t* m) const override {
    StripReader strips(layer.lookup_gates, v);
    const int first_block = layer.lookup_gates.first_strip / 4;
    for (int block = 0; block < layer.lookup_gates.strips / 4; ++block) {
      const int first = (first_block + block) * kStripRows;
      int32_t z[4][kLookupLanes][kStripRows];
      for (auto& gate : z) strips.Next(lanes, gate);
      for (int lane = 0; lane < lanes; ++lane) {
        for (int i = 0; i < kStripRows; ++i) {
          const size_t four =
              (size_t(first) / kStripRows * kLookupLanes / 2 + lane / 2) * 4 + i / 4;
          int16_t* cell = c + (four * 2 + lane % 2) * 4 + i % 4;
          const int32_t gates[4] = {z[0][lane][i], z[1][lane][i], z[2][lane][i], z[3][lane][i]};
          StoreActivation(layer.lookup_m, m, first + i, lane,
                          Update(layer, first + i, gates, cell));
        }
      }
    }
  }

  void Project(const PackedLayer& layer, int lanes, const uint8_t* m, uint8_t* v) const override {
    StripReader strips(layer.lookup_projection, m);
    const int first_strip = layer.lookup_projection.first_strip;
    for (int strip = 0; strip < layer.lookup_projection.strips; ++strip) {
      int32_t z[kLookupLanes][kStripRows];
      strips.Next(lanes, z);
      for (int lane = 0; lane < lanes; ++lane) {
        for (int i = 0; i < kStripRows; ++i) {
          const auto y = static_cast<uint8_t>(std::clamp(z[lane][i], -128, 127) + 128);
          StoreActivation(layer.lookup_v, v, (first_strip + strip) * kStripRows + i, lane, y);
        }
      }
    }
  }

  void Logits(const LookupMatrix& matrix, int lanes, const uint8_t* v, int32_t* logits,
              size_t stride) const override {
    StripReader strips(matrix, v);
    for (int strip = 0; strip < matrix.strips; ++strip) {
      int32_t z[kLookupLanes][kStripRows];
      strips.Next(lanes, z);
      for (int lane = 0; lane < lanes; ++lane) {
        std::copy_n(z[lane], kStripRows,
                    logits + lane * stride + size_t(matrix.first_strip + strip) * kStripRows);
      }
    }
  }

 private:
  static uint8_t Update(const PackedLayer& layer, int cell, const int32_t (&z)[4], int16_t* c) {
    if (layer.lookup_peepholes == nullptr) {  // the results are pre-activations before saturation
      const auto saturated = [&](int gate) { return PreActivation{Saturate<int16_t>(z[gate])}; };
      const Cell after = NextCell(layer, saturated(0), saturated(1), saturated(2), {*c});
      *c = after.raw;
      return HiddenOf(layer, saturated(3), after);
    }
    // Unlike `peepholes`, these have entries (of 0) for a strip's rows beyond the last cell, too.
    int16_t peephole[3];
    for (int k = 0; k < 3; ++k) {
      peephole[k] =
          layer.lookup_peepholes[((cell / kStripRows * 3 + k) * 4 + cell % kStripRows / 4) * 8 +
                                 cell % 4];
    }
    return UpdateLane(layer, peephole, z[0], z[1], z[2], z[3], c);
  }
};

struct PortableColumnsLoops {
  template <int kWidth>
  static constexpr auto* kCells = CellsImpl<kWidth>;
  template <int kWidth>
  static constexpr auto* kProject = ProjectImpl<kWidth>;
  template <int kWidth>
  static constexpr auto* kLogits = LogitsImpl<kWidth>;
};

class Portable final : public ColumnsByWidth<PortableColumnsLoops> {
 public:
  const char* name() const override { return "portable"; }
  bool Supported() const override { return true; }
  const LookupKernel* lookup() const override { return &lookup_; }

 private:
  PortableLookup lookup_;
};

}  // namespace

const Kernel* PortableKernel() {
  static const Portable kernel;
  return &kernel;
}

}  // namespace ese
