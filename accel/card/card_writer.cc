// SPDX-License-Identifier: Apache-2.0
#include "accel/card/card_writer.h"

#include <algorithm>
#include <cstdint>

#include "accel/card/output_split.h"

namespace ese {
namespace {

uint32_t EntryBeats(const CardPass& pass) {
  return pass.matrix ? static_cast<uint32_t>(pass.rows) * static_cast<uint32_t>(pass.entries) : 0;
}

// Fills the parts of a packed model in the order in which they lie in memory.
class Writer {
 public:
  Writer(const Model& model, CardModel* out)
      : model_(model),
        out_(*out),
        layout_(out->shape, out->passes.size(), size_t(out->rows), size_t(out->entry_beats)) {
    out_.bytes.assign(layout_.end, 0);
  }

  void Write() {
    StoreToCard(Header(), out_.bytes.data());
    WritePassRecords();
    uint8_t* rows = out_.bytes.data() + layout_.rows;
    uint8_t* entries = out_.bytes.data() + layout_.entries;
    size_t layer = 0;
    for (const CardPass& pass : out_.passes) {
      if (pass.matrix) {
        rows = WriteRows(pass, layer, rows);
        entries = WriteEntries(pass, entries);
      }
      if (pass.kind == PassKind::kGates) ++layer;
    }
  }

 private:
  CardHeader Header() const {
    const auto first_output = std::find_if(out_.passes.begin(), out_.passes.end(), [](auto& pass) {
      return pass.kind == PassKind::kOutput;
    });
    CardHeader header;
    header.pes = static_cast<uint16_t>(out_.shape.pes);
    header.passes = static_cast<uint32_t>(out_.passes.size());
    header.rows = static_cast<uint32_t>(out_.rows);
    header.entry_beats = static_cast<uint32_t>(out_.entry_beats);
    header.inputs = static_cast<uint32_t>(out_.inputs);
    header.y_columns = static_cast<uint32_t>(out_.y_columns);
    header.cells = static_cast<uint32_t>(out_.cells);
    header.first_pass_beats = EntryBeats(out_.passes.front());
    header.first_output = static_cast<uint32_t>(first_output - out_.passes.begin());
    for (auto pass = first_output; pass != out_.passes.end(); ++pass) {
      header.output_beats += EntryBeats(*pass);
    }
    return header;
  }

  void WritePassRecords() {
    uint8_t* to = out_.bytes.data() + layout_.passes;
    uint32_t first_row = 0;
    for (const CardPass& pass : out_.passes) {
      CardPassRecord record;
      record.SetFlags(pass.kind, pass.g_sigmoid, pass.shift);
      record.entries = static_cast<uint16_t>(pass.entries);
      record.rows = static_cast<uint16_t>(pass.rows);
      record.count = static_cast<uint16_t>(pass.count);
      record.source = static_cast<uint16_t>(pass.source);
      record.target = static_cast<uint16_t>(pass.target);
      record.first_row = first_row;
      StoreToCard(record, to);
      to += sizeof(record);
      if (pass.matrix) first_row += static_cast<uint32_t>(pass.rows);
    }
  }

  // Returns the end of what it wrote.
  uint8_t* WriteRows(const CardPass& pass, size_t layer, uint8_t* to) const {
    const RowMap map = pass.row_map(out_.shape.pes);
    for (int j = 0; j < pass.rows; ++j) {
      for (int pe = 0; pe < out_.shape.pes; ++pe, to += sizeof(CardRow)) {
        const auto [row, piece] = map.At({pe, j});
        if (row < 0) continue;
        CardRow constants;
        constants.bias = piece == 0 ? pass.matrix->bias[row] : 0;  // once for all pieces
        constants.shift = pass.matrix->shift[row];
        if (pass.kind == PassKind::kGates)
          constants.peephole = PeepholeOf(model_.layers[layer], row);
        StoreToCard(constants, to);
      }
    }
    return to;
  }

  static int16_t PeepholeOf(const Layer& layer, int row) {
    const int index = PeepholeOfGate(row % kCardGates);
    if (!layer.has_peepholes || index < 0) return 0;
    return layer.peepholes[3 * (row / kCardGates) + index];
  }

  // Returns the end of what it wrote.
  uint8_t* WriteEntries(const CardPass& pass, uint8_t* to) const {
    const RowMap map = pass.row_map(out_.shape.pes);
    const size_t beat = out_.shape.beat_bytes();
    for (int j = 0; j < pass.rows; ++j, to += size_t(pass.entries) * beat) {
      for (int pe = 0; pe < out_.shape.pes; ++pe) {
        const auto [row, piece] = map.At({pe, j});
        if (row < 0) continue;
        uint8_t* entry_of_pe = to + size_t(pe) * sizeof(uint16_t);
        for (const uint16_t entry : PieceEntries(*pass.matrix, row, pass.pieces, piece)) {
          StoreToCard(entry, entry_of_pe);
          entry_of_pe += beat;
        }
      }
    }
    return to;
  }

  const Model& model_;
  CardModel& out_;
  const CardModelLayout layout_;
};

}  // namespace

void WritePackedModel(const Model& model, CardModel* packed) { Writer(model, packed).Write(); }

}  // namespace ese
