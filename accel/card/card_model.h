// SPDX-License-Identifier: Apache-2.0
// Packs a model and a batch into the bytes that the ese_channel kernel reads (card_format.h), and
// unpacks its results.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "accel/backend.h"
#include "accel/card/card_format.h"
#include "accel/card/row_map.h"
#include "model/model.h"

namespace ese {

// One pass of the kernel's array over a matrix, or a copy. A step is a list of passes. The fields
// are those of CardPassRecord plus what only the host needs.
struct CardPass {
  PassKind kind = PassKind::kGates;
  bool g_sigmoid = false;
  int shift = 12;
  int entries = 0;                 // of a row; of a copy, its columns
  int rows = 0;                    // of one PE
  int count = 0;                   // columns written (cells or outputs), or units
  int source = 0;                  // first column read
  int target = 0;                  // first column written
  int first_row = 0;               // the pass's first row of the matrix
  int pieces = 1;                  // PEs that share a row (output_split.h)
  const Matrix* matrix = nullptr;  // null for a copy

  // REQUIRES: not a copy.
  RowMap row_map(int pes) const { return {kind, count, pes, first_row, pieces}; }
};

struct CardModel {
  CardShape shape;
  std::vector<uint8_t> bytes;  // the packed model, for an address aligned to kCardAlignment
  std::vector<CardPass> passes;
  int inputs = 0;
  int y_columns = 0;             // outputs of all layers
  std::vector<int> layer_cells;  // cells of each layer
  int cells = 0;                 // of one PE, in all layers
  int rows = 0;                  // of one PE, in all matrices
  int units = 0;
  int64_t entry_beats = 0;  // beats of entries in one step

  // Sizes of a batch's parts in the card's memory, for a longest lane of `frames` frames.
  int64_t state_bytes() const;
  int64_t input_bytes(int frames) const;
  int64_t output_bytes(int frames) const;
};

// Returns INVALID_ARGUMENT if a size does not fit the format's 16-bit fields. The kernel itself
// refuses a model that exceeds its buffers. `model` must outlive the result, whose passes point to
// its matrices.
absl::StatusOr<CardModel> PackForCard(const Model& model, const CardShape& shape);

// REQUIRES: ValidateBatch accepts the lanes.
std::vector<uint8_t> PackDescriptor(const CardModel& model, const std::vector<Lane>& lanes,
                                    const BatchAddresses& addresses);
std::vector<uint8_t> PackInputs(const CardModel& model, const std::vector<Lane>& lanes);
std::vector<uint8_t> PackStates(const CardModel& model, const std::vector<Lane>& lanes);
// Do the same into existing memory. Bytes of lanes that are not in use become unspecified.
void PackInputs(const CardModel& model, const std::vector<Lane>& lanes, uint8_t* bytes);
void PackStates(const CardModel& model, const std::vector<Lane>& lanes, uint8_t* bytes);

// Copy results from the card's memory into the lanes' state_out and logits.
void UnpackStates(const CardModel& model, const uint8_t* bytes, std::vector<Lane>* lanes);
void UnpackLogits(const CardModel& model, const uint8_t* bytes, std::vector<Lane>* lanes);

// The sum modulo 2^64 of the 64-bit words of state out and outputs, over the lanes in use. It
// equals CardStatus::checksum unless a bit flipped on the way.
uint64_t ResultChecksum(const CardModel& model, const std::vector<Lane>& lanes,
                        const uint8_t* state_out, const uint8_t* outputs);

}  // namespace ese
