// SPDX-License-Identifier: Apache-2.0
// The interface of a kernel: the inner loops of a step for up to 64 lanes at once. There is one
// kernel for each instruction set, and all of them return the same bits (docs/arithmetic.md).
//
// A kernel computes a step by one of two algorithms:
//
//   columns   A register holds one column of an activation vector for many lanes, and is multiplied
//             by one weight for all of them. Efficient when there are many lanes. Every kernel has
//             this algorithm: class Kernel.
//   look-up   A register holds 64 columns of one lane, and a byte permutation looks up the columns
//             that 16 rows ask for. Efficient when there are few lanes, and with AVX-512 VBMI for
//             any number. Most kernels have this algorithm too: class LookupKernel.
//
// docs/performance.md says what each costs; algorithm_plan.h measures which one is faster for each
// number of lanes.
//
// A kernel's source file may include only this header, <immintrin.h> or <arm_neon.h>, and the
// headers written for kernels alone. Whatever it includes is compiled for its instruction set, and
// the linker might pick such a copy of a shared inline function for code that runs on every
// processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ese {

inline constexpr int kMaxLanes = 64;
inline constexpr int kBlockRows = 4;     // the gates i, f, g, o of a cell; any four rows elsewhere
inline constexpr int kBlockEntries = 4;  // entries that one vpdpbusd sums
inline constexpr int kFineShift = 7;     // kFineBits of model/arithmetic.h
inline constexpr int kColumnUnit = 8;    // the largest scale factor in an x86 address
inline constexpr int kMaxColumns = 0xFFFF / kColumnUnit + 1;

// ---- Columns ------------------------------------------------------------------------------------

// Four entries of each of four rows. An entry takes 3 bytes here and 2 in the file; the extra byte
// saves decoding. The paper's LSTM takes 1.1 MB of the second-level cache instead of 0.74.
struct EntryBlock {
  uint16_t column8[kBlockRows][kBlockEntries];  // 8 x column
  int8_t weight[kBlockRows][kBlockEntries];
};

// Let S be row r's sum over unsigned activations, each of which is value + 128. The row's result is
// (S << shift[r]) + addend[r] modulo 2^32. The addend holds the bias, the correction for the 128s,
// and half a unit of the last place to which the caller rounds. The result is exact, because the
// true value fits 32 bits.
struct RowConstants {
  int32_t shift[kBlockRows];
  int32_t addend[kBlockRows];
};

// A matrix for the columns algorithm. The number of rows and the number of entries in a row are
// each padded to a multiple of four with weights of 0.
struct PackedMatrix {
  int groups = 0;            // groups of four rows
  int blocks_per_group = 0;  // blocks of four entries a row
  // How many of a group's blocks come before those with the fine entries; all, if there are no fine
  // entries. Where they end and the fine ones begin, the sums are shifted left by kFineShift.
  int coarse_blocks = 0;
  const EntryBlock* blocks = nullptr;       // [groups][blocks_per_group]
  const RowConstants* constants = nullptr;  // [groups]
};

// The coefficients of tanh's polynomial. They are copied from kTanhSegments, whose header kernels
// may not include.
struct TanhTable {
  int16_t c0[32], c1[32], c2[32], c3[32];
};

// ---- Look-up ------------------------------------------------------------------------------------
//
// Words used here:
//   line      64 bytes of one lane's activation vector, which fit one register
//   strip     16 rows of a matrix
//   tile      four entries of each row of a strip, all within one line
//   granule   8 neighbouring columns; a line has room for 8 granules
//   position  a place for one granule in the vector, counted from 0: position p is the 8 bytes from
//             byte 8 (p % 8) of line p / 8
//
// For each tile, one vpermb (or what stands in for it) looks up the 64 activations that the 16 rows
// ask for, four each, and one vpdpbusd multiplies and sums them.
//
// A lane's vector holds every granule twice: granule g of G at position g, and again at a second
// position >= G, where its neighbours are different granules. So each entry can be looked up in
// either of two lines, which lets the packer even out the rows of a strip. On the paper's LSTM,
// 11 % of the products are padding. With granules of 16 columns it would be 20 %, and without the
// second copy 85 %.
//
// Lanes are computed in groups of up to 16. A group's vector is uint8_t [lines][16 lanes][64], each
// byte being value + 128.
inline constexpr int kLookupLanes = 16;
inline constexpr int kLineColumns = 64;
inline constexpr int kGranule = 8;
inline constexpr int kGranulesPerLine = kLineColumns / kGranule;
inline constexpr int kStripRows = 16;

// The layout of a vector.
struct LookupVector {
  int granules = 0;
  int lines = 0;  // for both copies
  // [granules][2]: where each copy of a granule begins in the group's vector, in bytes, for lane 0.
  const uint32_t (*offsets)[2] = nullptr;
};

// Four entries of each row of a strip, all within one line. 128 bytes: two registers.
struct LookupTile {
  uint8_t column[kStripRows][kBlockEntries];  // within the line
  int8_t weight[kStripRows][kBlockEntries];
};

// Turns a row's sum S over unsigned activations into its result, which is the exact sum Z (see
// RowConstants) shifted right by the matrix's T. If no row of the strip has a left shift above T,
// the result is (S + addend) >> shift, where shift = T - the row's left shift and addend is
// RowConstants' addend already shifted right by the row's left shift; the summation can then start
// from the addend. Otherwise, and always in a matrix with fine entries, the result is
// ((S << shift) + addend) >> T, as in RowConstants.
struct StripConstants {
  int32_t shift[kStripRows];
  int32_t addend[kStripRows];
};

// A matrix for the look-up algorithm, or a part of one. All rows of a strip have the same tiles:
// rows with fewer entries in a line are padded with weights of 0.
struct LookupMatrix {
  int first_strip = 0;  // where this part begins in the matrix; the arrays below begin there too
  int strips = 0;
  int result_shift = 0;                   // T
  const uint16_t* tile_counts = nullptr;  // [strips]
  // [strips]: how many of a strip's tiles come before those with the fine entries, as
  // PackedMatrix::coarse_blocks; tile_counts itself, if there are no fine entries.
  const uint16_t* coarse_counts = nullptr;
  const uint8_t* right_only = nullptr;        // [strips]: 1 for the first case of StripConstants
  const StripConstants* constants = nullptr;  // [strips]
  const LookupTile* tiles = nullptr;          // [sum of tile_counts], strip by strip
  const uint16_t* lines = nullptr;            // [sum of tile_counts]: the line of each tile
};

// ---- Both algorithms ----------------------------------------------------------------------------

struct PackedLayer {
  int inputs = 0;
  int cells = 0;
  int outputs = 0;
  bool has_projection = false;
  bool g_is_sigmoid = false;
  int16_t hidden_scale = 0;            // 2^r of equation 12
  PackedMatrix gates;                  // a group for each cell; addends round to pre-activations
  const int16_t* peepholes = nullptr;  // [cells][4]: i, f, o, unused; null where there are none
  PackedMatrix projection;             // addends round to 8 bits
  int projection_shift = 0;            // to the right, to the format of y
  const TanhTable* tanh = nullptr;

  // The strips i, f, g and o of cells 0 to 15, then those of cells 16 to 31, and so on. T is 8, or
  // 0 where there are peepholes, which are added to exact sums.
  LookupMatrix lookup_gates;
  LookupMatrix lookup_projection;
  // [cells / 16, rounded up][3][4][2][4]: each four cells' peepholes twice; null if there are none.
  const int16_t* lookup_peepholes = nullptr;
  LookupVector lookup_v;  // y in whole granules, then x
  LookupVector lookup_m;
  int lookup_x = 0;  // the first granule of x
};

// The look-up algorithm for 1 to 16 lanes. All memory is aligned to 64 bytes. Implementations are
// stateless and thread-safe. Different threads may compute different parts of a matrix at the same
// time, because the parts write different rows; parts of the gates consist of whole blocks of 16
// cells.
class LookupKernel {
 public:
  // Gates and cell update. Updates c and writes m, both copies of every granule.
  // c is [cells / 16, rounded up][8][4][2][4]: for each pair of lanes, four cells of the first lane
  // and the same four of the second, four times.
  virtual void Cells(const PackedLayer& layer, int lanes, const uint8_t* v, int16_t* c,
                     uint8_t* m) const = 0;
  // Writes y into its granules of v, both copies.
  virtual void Project(const PackedLayer& layer, int lanes, const uint8_t* m, uint8_t* v) const = 0;
  // Writes logits [lanes][stride] from the vector v. REQUIRES: stride is a multiple of 16.
  virtual void Logits(const LookupMatrix& matrix, int lanes, const uint8_t* v, int32_t* logits,
                      size_t stride) const = 0;

 protected:
  ~LookupKernel() = default;
};

// One instruction set's kernel. The methods here are its columns algorithm; lookup() has the other.
//
// For columns, an activation vector of n columns is uint8_t [n][width], each byte being value +
// 128. `width` is 16, 32 or 64 lanes; at 64 a column is one cache line. All arrays are aligned to
// 64 bytes. Kernels are stateless, so every method may be called from any thread.
class Kernel {
 public:
  virtual const char* name() const = 0;
  virtual bool Supported() const = 0;  // by this processor
  // The look-up algorithm, or null if this kernel does not have it.
  virtual const LookupKernel* lookup() const { return nullptr; }

  // Gates and cell update: reads v [inputs + outputs][width], updates c [cells][width] and writes
  // m [cells][width].
  virtual void Cells(const PackedLayer& layer, int width, const uint8_t* v, int16_t* c,
                     uint8_t* m) const = 0;
  // Writes y [4 * groups][width] from m: sums shifted right by `shift`. The addends already hold
  // the half that makes this shift round.
  virtual void Project(const PackedMatrix& matrix, int shift, int width, const uint8_t* m,
                       uint8_t* y) const = 0;
  // Writes logits [4 * groups][width] from y.
  virtual void Logits(const PackedMatrix& matrix, int width, const uint8_t* y,
                      int32_t* logits) const = 0;

 protected:
  ~Kernel() = default;
};

// Each of these is defined in its own source file, and returns null if the target's architecture
// does not have the kernel's instructions.
const Kernel* PortableKernel();
const Kernel* Avx2Kernel();
const Kernel* AvxVnniKernel();
const Kernel* Avx512BwKernel();
const Kernel* Avx512VnniKernel();
const Kernel* Avx512VbmiKernel();
const Kernel* NeonDotKernel();
const Kernel* NeonI8mmKernel();

}  // namespace ese
