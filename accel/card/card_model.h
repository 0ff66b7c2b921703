// SPDX-License-Identifier: Apache-2.0
// A model and a batch as they lie in a card's memory for the ese_channel kernel (docs/hardware.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "accel/backend.h"
#include "model/model.h"

namespace ese {

// Of a descriptor without its lanes, a status record, a header, a pass.
inline constexpr int kCardRecordBytes = 64;

// What a kernel was built with. A beat of memory, 2 * pes bytes, has an entry for each PE or a byte
// for each lane: lanes == 2 * pes.
struct CardShape {
  int pes = 32;
  int lanes = 64;
  int beat_bytes() const { return 2 * pes; }
  // A record, and the frames of each lane.
  size_t descriptor_bytes() const { return kCardRecordBytes + size_t(lanes) * 2; }
};

enum class PassKind : uint32_t { kGates = 0, kProjection = 1, kOutput = 2, kCopy = 3 };

// What the array does in one go; a step is a list of these.
struct CardPass {
  PassKind kind = PassKind::kGates;
  bool g_sigmoid = false;
  int shift = 12;                  // 15 - r of equation 12 (gates), 19 - q of 13 (projection)
  int entries = 0;                 // of a row; of a copy, its columns
  int rows = 0;                    // of a PE
  int count = 0;                   // columns written, or units
  int source = 0;                  // first column read
  int target = 0;                  // first column written
  int first_row = 0;               // of the matrix
  int pieces = 1;                  // PEs that share a row (output_split.h)
  const Matrix* matrix = nullptr;  // null for a copy
};

struct CardModel {
  CardShape shape;
  std::vector<uint8_t> bytes;  // to be put at a multiple of 64 in the card's memory
  std::vector<CardPass> passes;
  int inputs = 0;
  int y_columns = 0;             // outputs of all layers
  std::vector<int> layer_cells;  // cells of each layer
  int cells = 0;                 // of a PE, all layers
  int rows = 0;                  // of a PE, all matrices
  int units = 0;
  int64_t entry_beats = 0;  // of a step

  int64_t state_bytes() const;
  int64_t input_bytes(int frames) const;
  int64_t output_bytes(int frames) const;
};

// INVALID_ARGUMENT if a size does not fit the format's 16-bit fields. `model` must outlive the
// result's passes. Sizes over a kernel's buffers are the kernel's to refuse.
absl::StatusOr<CardModel> PackForCard(const Model& model, const CardShape& shape);

// Error codes of the kernel's register and of its status record.
enum class CardError : uint8_t {
  kNone = 0,
  kBadBatch = 1,     // lanes, frames or an address
  kBadModel = 2,     // not a packed model
  kOtherShape = 3,   // packed for another version or number of PEs
  kTooLarge = 4,     // a size over the kernel's buffers
  kBadPass = 5,      // a pass without entries, rows or columns
  kReadFailed = 6,   // the bus answered a read with an error
  kWriteFailed = 7,  // or a write
  kStalled = 8,      // nothing moved for too long; once not even that ended, until reset
};

// Where the parts of a batch lie on the card; each a multiple of 64.
struct BatchAddresses {
  uint64_t model = 0, inputs = 0, state_in = 0, state_out = 0, outputs = 0, status = 0;
};

struct BatchStatus {
  uint32_t error = 0;
  uint32_t reserved = 0;
  uint64_t cycles = 0;   // from start to the end of the last output
  uint64_t working = 0;  // of these, cycles in which the multipliers got a word
  // ResultChecksum of what the kernel wrote; of no meaning after an error.
  uint64_t checksum = 0;
};

// REQUIRES: ValidateBatch accepts the lanes.
std::vector<uint8_t> PackDescriptor(const CardModel& model, const std::vector<Lane>& lanes,
                                    const BatchAddresses& addresses);
std::vector<uint8_t> PackInputs(const CardModel& model, const std::vector<Lane>& lanes);
std::vector<uint8_t> PackStates(const CardModel& model, const std::vector<Lane>& lanes);
// The same in place. What is of no lane in use is left as it is, or becomes anything.
void PackInputs(const CardModel& model, const std::vector<Lane>& lanes, uint8_t* bytes);
void PackStates(const CardModel& model, const std::vector<Lane>& lanes, uint8_t* bytes);

// From the card's memory into the lanes' state_out and logits.
void UnpackStates(const CardModel& model, const uint8_t* bytes, std::vector<Lane>* lanes);
void UnpackLogits(const CardModel& model, const uint8_t* bytes, std::vector<Lane>* lanes);

// The sum modulo 2^64 of the results as 64-bit words, to be compared with the status record's: of
// state out and outputs, only the lanes in use.
uint64_t ResultChecksum(const CardModel& model, const std::vector<Lane>& lanes,
                        const uint8_t* state_out, const uint8_t* outputs);

}  // namespace ese
