// SPDX-License-Identifier: Apache-2.0
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

// Look-up exchanges the roles: a register holds 64 columns (a line) of one lane, and one vpermb, or
// what stands for it, looks up what 16 rows (a strip) ask for, four entries each. A lane's vector
// is kept twice, in granules of 8 columns: granule g of G in place g, and again in a place >= G,
// where it lies in other company. So every entry can be looked up in one of two lines, which evens
// out the rows of a strip. On the paper's LSTM padding takes 11 %; with granules of 16 columns 20,
// without the copy 85.
//
// Lanes go in groups of 16. A group's vector is uint8_t [lines][16 lanes][64], each value + 128;
// place p is 8 bytes from byte 8 (p % 8) of line p / 8.
inline constexpr int kLookupLanes = 16;
inline constexpr int kLineColumns = 64;
inline constexpr int kGranule = 8;
inline constexpr int kStripRows = 16;

struct LookupVector {
  int granules = 0;
  int lines = 0;                          // of both copies
  const uint32_t (*places)[2] = nullptr;  // [granules]: byte at which each begins, of lane 0
};

// Four entries of each row of a strip, all within one line. 128 bytes: two registers.
struct LookupStep {
  uint8_t column[kStripRows][kBlockEntries];  // within the line
  int8_t weight[kStripRows][kBlockEntries];
};

// How a row's sum S over unsigned activations becomes a result, which is the exact sum Z (see
// RowConstants) shifted right by some T. Where no row of the strip has a shift above T, it is
// (S + addend) >> shift, addend being RowConstants' shifted right already; so the sum can begin
// with it. Otherwise it is ((S << shift) + addend) >> T.
struct StripConstants {
  int32_t shift[kStripRows];
  int32_t addend[kStripRows];
};

// A matrix in strips. The rows of a strip take the same steps, so that rows with fewer entries in a
// line are padded with weights of 0.
struct LookupMatrix {
  int first_strip = 0;  // of a part of a matrix; the arrays below begin there
  int strips = 0;
  int result_shift = 0;                       // T
  const uint16_t* counts = nullptr;           // [strips] steps
  const uint8_t* right_only = nullptr;        // [strips]: the first case above
  const StripConstants* constants = nullptr;  // [strips]
  const LookupStep* steps = nullptr;          // in the order of counts
  const uint16_t* lines = nullptr;            // of each step
};

struct PackedLayer {
  int inputs = 0;
  int cells = 0;
  int outputs = 0;
  bool has_projection = false;
  bool g_is_sigmoid = false;
  int16_t hidden_scale = 0;            // 2^r of equation 12
  PackedMatrix gates;                  // one group a cell; addends round to a pre-activation
  const int16_t* peepholes = nullptr;  // [cells][4]: i, f, o, unused; null where there are none
  PackedMatrix projection;             // addends round to 8 bits
  int projection_shift = 0;            // right, to the format of y
  const TanhTable* tanh = nullptr;

  // Strips i, f, g, o of cells 0 to 15, then of cells 16 to 31 and so on. T is 8, but 0 where there
  // are peepholes, which add to exact sums.
  LookupMatrix lookup_gates;
  LookupMatrix lookup_projection;
  // [cells / 16, rounded up][3][4][2][4]: four cells' peepholes twice; null if there are none.
  const int16_t* lookup_peepholes = nullptr;
  LookupVector lookup_v;  // y in whole granules, then x
  LookupVector lookup_m;
  int lookup_x = 0;  // x's first granule
};

// Steps of 1 to 16 lanes by look-up. Memory is aligned to 64 bytes. Stateless and thread-safe:
// parts of a matrix may go at the same time, as they write different rows (of gates, whole blocks
// of 16 cells).
class LookupKernel {
 public:
  // c is [cells / 16, rounded up][8][4][2][4]: for each pair of lanes, four cells of one and of the
  // other, four times. m: all granules, in both places.
  virtual void Cells(const PackedLayer& layer, int lanes, const uint8_t* v, int16_t* c,
                     uint8_t* m) const = 0;
  // y's granules of v, in both places.
  virtual void Project(const PackedLayer& layer, int lanes, const uint8_t* m, uint8_t* v) const = 0;
  // logits [lanes][stride] from a vector; stride is a multiple of 16.
  virtual void Logits(const LookupMatrix& matrix, int lanes, const uint8_t* v, int32_t* logits,
                      size_t stride) const = 0;

 protected:
  ~LookupKernel() = default;
};

// An activation vector of n columns for `width` lanes is uint8_t [n][width], each value + 128. At
// 64 lanes a column is one cache line. All arrays are aligned to 64 bytes; `width` is 16, 32 or 64.
// Stateless; every method may be called from any thread.
class StepKernel {
 public:
  virtual const char* name() const = 0;
  virtual bool Supported() const = 0;  // by this processor
  // Null where there is none.
  virtual const LookupKernel* lookup() const { return nullptr; }

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
const StepKernel* NeonDotKernel();
const StepKernel* NeonI8mmKernel();

}  // namespace ese
