// SPDX-License-Identifier: Apache-2.0
// The binary format that the host and the ese_channel kernel exchange through a card's memory, and
// the kernel's registers. docs/hardware/programmers_reference.md describes it;
// accel/rtl/ese_pkg.sv repeats it in SystemVerilog.
//
// Numbers are little-endian and reserved bytes are 0. A record is 64 bytes. A beat, which is what
// the kernel moves in one cycle, holds one entry for each PE (processing element) or one byte for
// each lane.
//
//   packed model:  CardHeader | CardPassRecord per pass | CardRow [rows of a PE][PE]
//                  | entries, 16 bits each, [rows of a PE][entries of a row][PE]
//   descriptor:    CardDescriptor | frames of each lane, 16 bits each
//
// An entry on the card is the model's own 16-bit entry: its gap in bits 15..7 and its weight in
// bits 6..0 (MakeEntry in model/model.h).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "model/model.h"

namespace ese {

static_assert(std::endian::native == std::endian::little, "the card's numbers are little-endian");

inline constexpr uint32_t kCardMagic = 0x43455345;  // the bytes "ESEC"
inline constexpr uint16_t kCardFormatVersion = 2;
inline constexpr int kCardRecordBytes = 64;
inline constexpr int kCardAlignment = 64;  // of every address in a descriptor
inline constexpr int kCardMaxField = 65535;
inline constexpr int kCardGates = 4;  // gate rows of a cell, in the order i, f, g, o

// An entry: its weight in the low bits, its gap above.
inline constexpr int kCardWeightBits = 7;
inline constexpr int kCardGapBits = 9;
static_assert(MakeEntry(kMaxGap, 0) == kMaxGap << kCardWeightBits);
static_assert(MakeEntry(0, -1) == (1 << kCardWeightBits) - 1);
static_assert(kMaxGap == (1 << kCardGapBits) - 1);

// The parameters that a kernel was built with. lanes == 2 * pes.
struct CardShape {
  int pes = 32;
  int lanes = 64;

  int beat_bytes() const { return 2 * pes; }
  // A CardDescriptor and the frames of each lane.
  size_t descriptor_bytes() const { return kCardRecordBytes + size_t(lanes) * sizeof(uint16_t); }
};

// ---- The packed model.

struct CardHeader {
  uint32_t magic = kCardMagic;
  uint16_t version = kCardFormatVersion;
  uint16_t pes = 0;
  uint32_t passes = 0;
  uint32_t rows = 0;              // of one PE, in all matrices
  uint32_t entry_beats = 0;       // beats of entries in one step
  uint32_t inputs = 0;            // values of one frame
  uint32_t y_columns = 0;         // outputs of all layers
  uint32_t cells = 0;             // of one PE, in all layers
  uint32_t first_pass_beats = 0;  // beats of entries of the first pass
  uint32_t first_output = 0;      // index of the first output pass
  uint32_t output_beats = 0;      // beats of entries of all output passes
  uint8_t reserved[20] = {};
};
static_assert(sizeof(CardHeader) == kCardRecordBytes);
static_assert(offsetof(CardHeader, magic) == 0 && offsetof(CardHeader, version) == 4 &&
              offsetof(CardHeader, pes) == 6 && offsetof(CardHeader, passes) == 8 &&
              offsetof(CardHeader, rows) == 12 && offsetof(CardHeader, entry_beats) == 16 &&
              offsetof(CardHeader, inputs) == 20 && offsetof(CardHeader, y_columns) == 24 &&
              offsetof(CardHeader, cells) == 28 && offsetof(CardHeader, first_pass_beats) == 32 &&
              offsetof(CardHeader, first_output) == 36 && offsetof(CardHeader, output_beats) == 40);

// What a pass computes. A step is a list of passes, the output layer's last.
enum class PassKind : uint32_t {
  kGates = 0,
  kProjection = 1,
  kOutput = 2,
  kCopy = 3,  // moves the hidden values m to the next inputs V, if the layer has no projection
};

// Bits of CardPassRecord::flags.
inline constexpr int kCardPassKindBits = 2;
inline constexpr int kCardPassSigmoidBit = 2;
inline constexpr int kCardPassShiftBit = 3;
inline constexpr int kCardPassShiftBits = 5;

struct CardPassRecord {
  uint16_t flags = 0;
  uint16_t entries = 0;    // entries in a row; in a copy pass, the number of columns
  uint16_t rows = 0;       // of one PE
  uint16_t count = 0;      // columns written: cells or outputs, or units in an output pass
  uint16_t source = 0;     // first column read
  uint16_t target = 0;     // first column written
  uint32_t first_row = 0;  // index of its first row among the rows of one PE
  uint8_t reserved[48] = {};

  void SetFlags(PassKind kind, bool g_sigmoid, int shift) {
    flags = static_cast<uint16_t>(static_cast<uint32_t>(kind) |
                                  uint32_t{g_sigmoid} << kCardPassSigmoidBit |
                                  static_cast<uint32_t>(shift) << kCardPassShiftBit);
  }
  PassKind kind() const { return static_cast<PassKind>(flags & ((1 << kCardPassKindBits) - 1)); }
  // Whether the gate g is a sigmoid rather than a tanh.
  bool g_sigmoid() const { return (flags >> kCardPassSigmoidBit & 1) != 0; }
  // 15 - r of equation 12 (gates) or 19 - q of equation 13 (projection).
  int shift() const { return flags >> kCardPassShiftBit & ((1 << kCardPassShiftBits) - 1); }
};
static_assert(sizeof(CardPassRecord) == kCardRecordBytes);
static_assert(offsetof(CardPassRecord, flags) == 0 && offsetof(CardPassRecord, entries) == 2 &&
              offsetof(CardPassRecord, rows) == 4 && offsetof(CardPassRecord, count) == 6 &&
              offsetof(CardPassRecord, source) == 8 && offsetof(CardPassRecord, target) == 10 &&
              offsetof(CardPassRecord, first_row) == 12);

// The constants of one row of one PE.
struct CardRow {
  int32_t bias = 0;      // Q12.19
  int16_t peephole = 0;  // Q3.12
  uint16_t shift = 0;    // 0..kMaxRowShift
};
static_assert(sizeof(CardRow) == 8);
static_assert(offsetof(CardRow, bias) == 0 && offsetof(CardRow, peephole) == 4 &&
              offsetof(CardRow, shift) == 6);

// Where the parts of a packed model begin, in bytes from its own beginning, and where it ends.
struct CardModelLayout {
  CardModelLayout(const CardShape& shape, size_t pass_count, size_t row_count, size_t entry_beats)
      : rows(passes + pass_count * sizeof(CardPassRecord)),
        entries(rows + row_count * size_t(shape.pes) * sizeof(CardRow)),
        end(entries + entry_beats * size_t(shape.beat_bytes())) {}

  size_t passes = sizeof(CardHeader);
  size_t rows;
  size_t entries;
  size_t end;
};

// ---- The batch.

// Addresses on the card, each a multiple of kCardAlignment.
struct BatchAddresses {
  uint64_t model = 0, inputs = 0, state_in = 0, state_out = 0, outputs = 0, status = 0;
};

struct CardDescriptor {
  BatchAddresses at;
  uint32_t lanes = 0;   // in use
  uint32_t frames = 0;  // of the longest lane
  uint8_t reserved[8] = {};
};
static_assert(sizeof(CardDescriptor) == kCardRecordBytes);
static_assert(offsetof(CardDescriptor, at) == 0 && offsetof(BatchAddresses, model) == 0 &&
              offsetof(BatchAddresses, inputs) == 8 && offsetof(BatchAddresses, state_in) == 16 &&
              offsetof(BatchAddresses, state_out) == 24 &&
              offsetof(BatchAddresses, outputs) == 32 && offsetof(BatchAddresses, status) == 40 &&
              offsetof(CardDescriptor, lanes) == 48 && offsetof(CardDescriptor, frames) == 52);

// The 16-bit frame count of a lane, in bytes from the beginning of the descriptor.
constexpr size_t LaneFramesOffset(size_t lane) {
  return sizeof(CardDescriptor) + lane * sizeof(uint16_t);
}

// What the kernel writes when a batch ends.
struct CardStatus {
  uint32_t error = 0;  // a CardError
  uint32_t reserved = 0;
  uint64_t cycles = 0;   // from the start to the end of the last output
  uint64_t working = 0;  // cycles among these in which the multipliers received a word
  // ResultChecksum of what the kernel wrote; meaningless after an error.
  uint64_t checksum = 0;
  uint8_t reserved_end[32] = {};
};
static_assert(sizeof(CardStatus) == kCardRecordBytes);
static_assert(offsetof(CardStatus, error) == 0 && offsetof(CardStatus, cycles) == 8 &&
              offsetof(CardStatus, working) == 16 && offsetof(CardStatus, checksum) == 24);

// Error codes of the kernel's register and of its status record.
enum class CardError : uint8_t {
  kNone = 0,
  kBadBatch = 1,     // lanes, frames or an address of the descriptor
  kBadModel = 2,     // not a packed model
  kOtherShape = 3,   // packed for another version or number of PEs
  kTooLarge = 4,     // a size exceeds the kernel's buffers
  kBadPass = 5,      // a pass without entries, rows or columns
  kReadFailed = 6,   // the bus answered a read with an error
  kWriteFailed = 7,  // the bus answered a write with an error
  kStalled = 8,      // nothing moved for too long; repeats until reset if the bus is stuck
};
inline constexpr CardError kLastCardError = CardError::kStalled;

// Whether the kernel writes a status record when a batch ends with this error.
constexpr bool LeavesStatus(CardError error) {
  return error == CardError::kNone ||
         (error >= CardError::kBadModel && error <= CardError::kBadPass);
}

// ---- The kernel's registers: byte offsets in its AXI4-Lite slave.

inline constexpr uint32_t kCardControlRegister = 0x00;
inline constexpr uint32_t kCardGlobalInterruptRegister = 0x04;
inline constexpr uint32_t kCardInterruptEnableRegister = 0x08;
inline constexpr uint32_t kCardInterruptStatusRegister = 0x0C;
inline constexpr uint32_t kCardDescriptorRegister = 0x10;  // 64 bits
inline constexpr uint32_t kCardErrorRegister = 0x1C;
inline constexpr uint32_t kCardStateRegister = 0x20;
// Bits of the control register (ap_ctrl_chain).
inline constexpr uint32_t kCardControlStart = 1 << 0;
inline constexpr uint32_t kCardControlDone = 1 << 1;
inline constexpr uint32_t kCardControlIdle = 1 << 2;
inline constexpr uint32_t kCardControlReady = 1 << 3;
inline constexpr uint32_t kCardControlContinue = 1 << 4;

// ---- Access to the bytes of a card's memory, at any alignment.

template <typename T>
T LoadFromCard(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

template <typename T>
void StoreToCard(const T& value, uint8_t* bytes) {
  std::memcpy(bytes, &value, sizeof(value));
}

}  // namespace ese
