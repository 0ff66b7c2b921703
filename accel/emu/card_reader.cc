// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/card_reader.h"

namespace ese::emu {
namespace {

CardError CheckHeader(const CardHeader& header, const CardShape& shape) {
  if (header.magic != kCardMagic) return CardError::kBadModel;
  if (header.version != kCardFormatVersion || header.pes != shape.pes) {
    return CardError::kOtherShape;
  }
  // No packed model has larger sizes, and sums of them fit in an int.
  constexpr uint32_t kMaxSize = 1 << 30;
  for (const uint32_t size : {header.passes, header.rows, header.entry_beats, header.inputs,
                              header.y_columns, header.cells}) {
    if (size == 0 || size > kMaxSize) return CardError::kBadModel;
  }
  return CardError::kNone;
}

CardPass ToPass(const CardPassRecord& record) {
  CardPass pass;
  pass.kind = record.kind();
  pass.g_sigmoid = record.g_sigmoid();
  pass.shift = record.shift();
  pass.entries = record.entries;
  pass.rows = record.rows;
  pass.count = record.count;
  pass.source = record.source;
  pass.target = record.target;
  return pass;
}

// Reads the pass records in out->bytes. Returns kBadPass for one without work, and kBadModel if the
// passes together are not as large as the header says.
CardError ReadPasses(const CardModelLayout& layout, CardModel* out) {
  int64_t rows = 0, beats = 0, cells = 0;
  for (size_t at = layout.passes; at < layout.rows; at += sizeof(CardPassRecord)) {
    const CardPass pass = ToPass(LoadFromCard<CardPassRecord>(out->bytes.data() + at));
    if (pass.entries == 0 || pass.rows == 0 || pass.count == 0) return CardError::kBadPass;
    if (pass.kind == PassKind::kOutput) out->units += pass.rows * out->shape.pes;
    if (pass.kind == PassKind::kGates) {
      out->layer_cells.push_back(pass.count);
      cells += pass.rows / kCardGates;
    }
    if (pass.kind != PassKind::kCopy) {
      rows += pass.rows;
      beats += int64_t{pass.rows} * pass.entries;
    }
    out->passes.push_back(pass);
  }
  const bool sums_agree = rows == out->rows && beats == out->entry_beats && cells == out->cells;
  return sums_agree ? CardError::kNone : CardError::kBadModel;
}

}  // namespace

CardError ReadCardModel(const CardShape& shape, KernelMemory* memory, uint64_t address,
                        CardModel* out) {
  const uint8_t* at = memory->At(address, sizeof(CardHeader));
  if (at == nullptr) return CardError::kReadFailed;
  const auto header = LoadFromCard<CardHeader>(at);
  const CardError error = CheckHeader(header, shape);
  if (error != CardError::kNone) return error;
  out->shape = shape;
  out->rows = static_cast<int>(header.rows);
  out->entry_beats = header.entry_beats;
  out->inputs = static_cast<int>(header.inputs);
  out->y_columns = static_cast<int>(header.y_columns);
  out->cells = static_cast<int>(header.cells);
  const CardModelLayout layout(shape, header.passes, header.rows, header.entry_beats);
  const uint8_t* bytes = memory->At(address, layout.end);
  if (bytes == nullptr) return CardError::kReadFailed;
  out->bytes.assign(bytes, bytes + layout.end);
  return ReadPasses(layout, out);
}

}  // namespace ese::emu
