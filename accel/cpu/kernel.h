// Kernels: the inner loops of a step for up to 64 lanes at once, one implementation per instruction
// set, all with the same bits (docs/arithmetic.md).
//
// This header is all that an implementation may include beside <immintrin.h>: what it includes is
// compiled for its instruction set, and an inline function shared with the rest of the program
// could then be linked into code that runs on every processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ese {

inline constexpr int kMaxLanes = 64;
// Up to here look-up (below) beats columns of lanes. A step of the paper's LSTM, full, in us on one
// thread (Zen 5, 3.8 GHz): look-up 1: 11, 2: 11, 3: 15, 4: 18, 5: 19, 6: 22, 7: 24, 8: 27, 9: 34,
// 16: 52, 24: 78, 32: 105, 40: 131 lanes; columns 90 for up to 16, 104 for 32, 137 for 64 lanes.
inline constexpr int kFewLanes = 40;
inline constexpr int kBlockRows = 4;     // the gates i, f, g, o of a cell; any four rows elsewhere
inline constexpr int kBlockEntries = 4;  // what one vpdpbusd sums
inline constexpr int kColumnUnit = 8;    // the largest factor of an x86 address
inline constexpr int kMaxColumns = 0xFFFF / kColumnUnit + 1;

// Four entries of each of four rows. 3 bytes an entry instead of the file's 2 saves its decoding;
// the paper's LSTM takes 1.1 MB of the second-level cache instead of 0.74.
struct EntryBlock {
  uint16_t column8[kBlockRows][kBlockEntries];  // 8 x column
  int8_t weight[kBlockRows][kBlockEntries];
};

// Row r's sum becomes (S << shift[r]) + addend[r] mod 2^32, S being the sum over unsigned
// activations (value + 128). The addend has the bias, the correction for the 128, and half a unit
// of what the caller rounds to; equal to the exact value because that fits 32 bits.
struct RowConstants {
  int32_t shift[kBlockRows];
  int32_t addend[kBlockRows];
};

// A matrix whose rows are padded to a multiple of four, and their entries too, with weights of 0.
struct PackedMatrix {
  int groups = 0;                           // of four rows
  int blocks_per_group = 0;                 // of four entries a row
  const EntryBlock* blocks = nullptr;       // [groups][blocks_per_group]
  const RowConstants* constants = nullptr;  // [groups]
};

// tanh's polynomial: a copy of kTanhSegments' layout, because its header is not for kernels.
struct TanhTable {
  int16_t c0[32], c1[32], c2[32], c3[32];
};

// For few lanes the roles are exchanged: one lane's activations lie in registers, 128 columns (a
// tile) in two, and one vpermi2b looks up what 16 rows (a strip) ask for, four entries each. Tiles
// overlap by half: tile t begins at column 64 t, so a row's entry may be in either of two tiles,
// which evens out the rows of a strip.
inline constexpr int kTileColumns = 128;
inline constexpr int kTileStride = 64;
inline constexpr int kStripRows = 16;

// Four entries of each row of a strip, all within one tile. 128 bytes: two registers.
struct LookupStep {
  uint8_t column[kStripRows][kBlockEntries];  // within the tile
  int8_t weight[kStripRows][kBlockEntries];
};

// A matrix in strips. A strip takes as many steps of a tile as the row needs that has most entries
// which the next tile does not have; the other rows go ahead with those that it has too, and are
// padded with weights of 0 at last. On the paper's LSTM that pads 19 % (tiles side by side: 55 %).
struct LookupMatrix {
  int strips = 0;
  int tiles = 0;
  const uint8_t* counts = nullptr;    // [strips][tiles] steps
  const LookupStep* steps = nullptr;  // in the order of counts
  const int32_t* shift = nullptr;     // [strips][16], as in RowConstants
  const int32_t* addend = nullptr;    // [strips][16]
};

struct PackedLayer {
  int inputs = 0;
  int cells = 0;
  int outputs = 0;
  bool has_projection = false;
  bool g_is_sigmoid = false;
  PackedMatrix gates;                  // one group a cell; addends round to a pre-activation
  const int16_t* peepholes = nullptr;  // [cells][4]: i, f, o, unused; null where there are none
  PackedMatrix projection;             // addends round to 8 bits
  int projection_shift = 0;            // right, to the format of y
  const TanhTable* tanh = nullptr;

  LookupMatrix few_gates;  // strips i, f, g, o of cells 0 to 15, then of cells 16 to 31 and so on
  LookupMatrix few_projection;
  const int16_t* few_peepholes =
      nullptr;  // [cells / 16, rounded up][3][16]; null if there are none
};

// One array of each lane side by side: lane i's begins at `data` + i * `stride` elements.
template <typename T>
struct LaneArrays {
  T* data;
  size_t stride;
};

// Steps of 1 to 8 lanes. Activations are unsigned (value + 128). c, m and logits are aligned
// to 64 bytes, their strides too. What is read or written may reach past the end of a lane's
// values: up to a whole tile of what is multiplied and a whole strip of what is written. Stateless
// and thread-safe.
class FewLanesKernel {
 public:
  // v [inputs + outputs], c [cells] updated, m [cells].
  virtual void Cells(const PackedLayer& layer, int lanes, LaneArrays<const uint8_t> v,
                     LaneArrays<int16_t> c, LaneArrays<uint8_t> m) const = 0;
  // y [rows] from m.
  virtual void Project(const LookupMatrix& matrix, int shift, int lanes,
                       LaneArrays<const uint8_t> m, LaneArrays<uint8_t> y) const = 0;
  // logits [rows] from y.
  virtual void Logits(const LookupMatrix& matrix, int lanes, LaneArrays<const uint8_t> y,
                      LaneArrays<int32_t> logits) const = 0;

 protected:
  ~FewLanesKernel() = default;
};

// An activation vector of n columns for `width` lanes is uint8_t [n][width], each value + 128. At
// 64 lanes a column is one cache line. All arrays are aligned to 64 bytes; `width` is 16, 32 or 64.
// Stateless; every method may be called from any thread.
class StepKernel {
 public:
  virtual const char* name() const = 0;
  virtual bool Supported() const = 0;  // by this processor
  // What is faster for up to kFewLanes lanes; null where there is none.
  virtual const FewLanesKernel* few_lanes() const { return nullptr; }

  // Gates and cell update: v [inputs + outputs][width], c [cells][width] updated, m [cells][width].
  virtual void Cells(const PackedLayer& layer, int width, const uint8_t* v, int16_t* c,
                     uint8_t* m) const = 0;
  // y [4 * groups][width] from m: rounded right by `shift`, the halves being in the addends.
  virtual void Project(const PackedMatrix& matrix, int shift, int width, const uint8_t* m,
                       uint8_t* y) const = 0;
  // logits [4 * groups][width] from y.
  virtual void Logits(const PackedMatrix& matrix, int width, const uint8_t* y,
                      int32_t* logits) const = 0;

 protected:
  ~StepKernel() = default;
};

// One per file; null where the target's architecture has no such instructions.
const StepKernel* PortableKernel();
const StepKernel* Avx2Kernel();
const StepKernel* AvxVnniKernel();
const StepKernel* Avx512BwKernel();
const StepKernel* Avx512VnniKernel();
const StepKernel* Avx512VbmiKernel();

}  // namespace ese
