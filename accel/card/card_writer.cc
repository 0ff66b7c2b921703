// SPDX-License-Identifier: Apache-2.0
#include "accel/card/card_writer.h"

#include <algorithm>
#include <initializer_list>

#include "accel/card/card_bytes.h"
#include "accel/card/output_split.h"

namespace ese {
namespace {

// Appends records, rows and entries.
class Writer {
 public:
  Writer(const Model& model, CardModel* out) : model_(model), out_(*out) {}

  void Write() {
    const auto passes = static_cast<uint32_t>(out_.passes.size());
    Record({kPackedMagic, kPackedVersion | static_cast<uint32_t>(out_.shape.pes) << 16, passes,
            static_cast<uint32_t>(out_.rows), static_cast<uint32_t>(out_.entry_beats),
            static_cast<uint32_t>(out_.inputs), static_cast<uint32_t>(out_.y_columns),
            static_cast<uint32_t>(out_.cells), Beats(out_.passes.front()), FirstOutput(),
            OutputBeats()});
    uint32_t first_row = 0;
    for (const CardPass& pass : out_.passes) {
      const uint32_t flags = static_cast<uint32_t>(pass.kind) | uint32_t{pass.g_sigmoid} << 2 |
                             static_cast<uint32_t>(pass.shift) << 3;
      Record({flags | static_cast<uint32_t>(pass.entries) << 16,
              static_cast<uint32_t>(pass.rows) | static_cast<uint32_t>(pass.count) << 16,
              static_cast<uint32_t>(pass.source) | static_cast<uint32_t>(pass.target) << 16,
              first_row});
      if (pass.matrix) first_row += static_cast<uint32_t>(pass.rows);
    }
    size_t layer = 0;
    for (const CardPass& pass : out_.passes) {
      if (pass.matrix) Rows(pass, layer);
      if (pass.kind == PassKind::kGates) ++layer;
    }
    for (const CardPass& pass : out_.passes) {
      if (pass.matrix) Entries(pass);
    }
  }

 private:
  static uint32_t Beats(const CardPass& pass) {
    return pass.matrix ? static_cast<uint32_t>(pass.rows) * static_cast<uint32_t>(pass.entries) : 0;
  }
  uint32_t FirstOutput() const {
    const auto is_output = [](const CardPass& pass) { return pass.kind == PassKind::kOutput; };
    return static_cast<uint32_t>(std::find_if(out_.passes.begin(), out_.passes.end(), is_output) -
                                 out_.passes.begin());
  }
  uint32_t OutputBeats() const {
    uint32_t beats = 0;
    for (size_t k = FirstOutput(); k < out_.passes.size(); ++k) beats += Beats(out_.passes[k]);
    return beats;
  }

  void Record(std::initializer_list<uint32_t> words) {
    size_t offset = Grow(kCardRecordBytes);
    for (const uint32_t word : words) {
      Put(&out_.bytes, offset, word);
      offset += sizeof(word);
    }
  }

  size_t Grow(size_t bytes) {
    const size_t offset = out_.bytes.size();
    out_.bytes.resize(offset + bytes);
    return offset;
  }

  // What PE `pe` works on as its row `j` of the pass; no row if it has none.
  struct Work {
    int row = -1;  // of the matrix
    int piece = 0;
  };
  Work WorkOf(const CardPass& pass, int j, int pe) const {
    const int pes = out_.shape.pes;
    if (pass.pieces > 1) {
      if (pe >= pass.count * pass.pieces) return {};
      return {pass.first_row + pe % pass.count, pe / pass.count};
    }
    const int row = pass.kind == PassKind::kGates ? 4 * ((j / 4) * pes + pe) + j % 4 : j * pes + pe;
    return row < pass.matrix->rows ? Work{row} : Work{};
  }

  // {bias 32, peephole 16, shift 16} for each PE, row by row.
  void Rows(const CardPass& pass, size_t layer_index) {
    for (int j = 0; j < pass.rows; ++j) {
      size_t offset = Grow(size_t(out_.shape.pes) * 8);
      for (int pe = 0; pe < out_.shape.pes; ++pe, offset += 8) {
        const auto [row, piece] = WorkOf(pass, j, pe);
        if (row < 0) continue;
        // One of the pieces has the bias.
        Put(&out_.bytes, offset, piece == 0 ? pass.matrix->bias[row] : 0);
        Put(&out_.bytes, offset + 4, PeepholeOf(pass, layer_index, row));
        Put(&out_.bytes, offset + 6, uint16_t{pass.matrix->shift[row]});
      }
    }
  }

  int16_t PeepholeOf(const CardPass& pass, size_t layer_index, int row) const {
    if (pass.kind != PassKind::kGates) return 0;
    const Layer& layer = model_.layers[layer_index];
    const int gate = row % 4;
    if (!layer.has_peepholes || gate == 2) return 0;
    return layer.peepholes[3 * (row / 4) + (gate == 3 ? 2 : gate)];
  }

  void Entries(const CardPass& pass) {
    for (int j = 0; j < pass.rows; ++j) {
      const size_t base = Grow(size_t(pass.entries) * out_.shape.beat_bytes());
      for (int pe = 0; pe < out_.shape.pes; ++pe) {
        const auto [row, piece] = WorkOf(pass, j, pe);
        if (row < 0) continue;
        size_t offset = base + size_t(pe) * 2;
        for (const uint16_t entry : PieceEntries(*pass.matrix, row, pass.pieces, piece)) {
          Put(&out_.bytes, offset, entry);
          offset += out_.shape.beat_bytes();
        }
      }
    }
  }

  const Model& model_;
  CardModel& out_;
};

}  // namespace

void WritePackedModel(const Model& model, CardModel* packed) { Writer(model, packed).Write(); }

}  // namespace ese
