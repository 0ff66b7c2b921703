// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/card_unpacker.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "accel/card/card_bytes.h"
#include "model/arithmetic.h"
#include "model/equal_rows.h"

namespace ese::emu {
namespace {

constexpr size_t kRowBytes = 8;

// A matrix's row: its weights by column, without zeros.
using SparseRow = std::vector<std::pair<int, int>>;

// Takes rows in any order and makes them one matrix.
class MatrixBuilder {
 public:
  explicit MatrixBuilder(MatrixDraft* out) : out_(*out), rows_(out->rows) {
    out_.shift.resize(out_.rows);
    out_.bias.resize(out_.rows);
  }

  void Set(int row, SparseRow weights, int shift, int32_t bias) {
    rows_[row] = std::move(weights);
    out_.shift[row] = static_cast<uint8_t>(shift);
    out_.bias[row] = bias;
  }

  void Finish() {
    std::vector<Columns> kept;
    for (const SparseRow& row : rows_) {
      kept.emplace_back();
      for (const auto& [column, weight] : row) kept.back().push_back(column);
    }
    const std::vector<Columns> equal = EqualRows(kept);
    out_.entries_per_row = equal.empty() ? 0 : static_cast<int>(equal.front().size());
    for (size_t r = 0; r < rows_.size(); ++r) {
      auto next = rows_[r].begin();
      int last = -1;
      for (const int column : equal[r]) {
        const bool real = next != rows_[r].end() && next->first == column;
        out_.entries.push_back(MakeEntry(column - last - 1, real ? next++->second : 0));
        last = column;
      }
    }
  }

 private:
  MatrixDraft& out_;
  std::vector<SparseRow> rows_;
};

class Unpacker {
 public:
  explicit Unpacker(const CardModel& card)
      : card_(card),
        pes_(card.shape.pes),
        rows_(card.bytes.data() + kCardRecordBytes * (1 + card.passes.size())),
        entries_(rows_ + size_t(card.rows) * pes_ * kRowBytes) {}

  // False if no model packs to this.
  bool Unpack(ModelDraft* out) {
    out->name = "from a card's memory";
    size_t k = 0;
    int source = 0, target = card_.inputs;
    while (k + 1 < card_.passes.size() && card_.passes[k].kind == PassKind::kGates) {
      if (!AddLayer(card_.passes[k], card_.passes[k + 1], source, target, out)) return false;
      source = target;
      target += out->layers.back().outputs;
      k += 2;
    }
    if (out->layers.empty() || target != card_.inputs + card_.y_columns) return false;
    return AddOutput(k, source, out);
  }

 private:
  bool AddLayer(const CardPass& gates, const CardPass& output, int source, int target,
                ModelDraft* out) {
    LayerDraft layer;
    layer.inputs = target - source;
    layer.cells = gates.count;
    layer.outputs = output.count;
    layer.has_projection = output.kind == PassKind::kProjection;
    layer.g_activation = gates.g_sigmoid ? GActivation::kSigmoid : GActivation::kTanh;
    layer.hidden_fraction_bits = 15 - gates.shift;
    layer.output_fraction_bits = layer.has_projection ? Accumulator::kFractionBits - output.shift
                                                      : layer.hidden_fraction_bits;
    if (gates.source != source || output.target != target || gates.rows % 4 != 0 ||
        gates.rows / 4 * pes_ < gates.count || output.kind == PassKind::kGates ||
        output.kind == PassKind::kOutput ||
        (!layer.has_projection && output.count != gates.count)) {
      return false;
    }
    if (layer.hidden_fraction_bits < kMinHiddenFractionBits ||
        layer.hidden_fraction_bits > kMaxHiddenFractionBits ||
        (layer.has_projection &&
         (layer.output_fraction_bits < 0 || layer.output_fraction_bits > 7))) {
      return false;
    }
    layer.gates.rows = 4 * layer.cells;
    layer.gates.columns = layer.inputs + layer.outputs;
    layer.peepholes.resize(size_t(layer.cells) * 3);
    const auto gate_row = [&](int j, int pe) {
      const int cell = j / 4 * pes_ + pe;
      return cell < layer.cells ? 4 * cell + j % 4 : -1;
    };
    const auto peephole = [&](int row, int16_t value) {
      constexpr int kOfGate[] = {0, 1, -1, 2};  // i, f, g, o
      const int place = kOfGate[row % 4];
      if (place >= 0) layer.peepholes[size_t(row / 4) * 3 + place] = value;
    };
    if (!AddMatrix(gates, gate_row, peephole, &layer.gates)) return false;
    layer.has_peepholes = std::any_of(layer.peepholes.begin(), layer.peepholes.end(),
                                      [](int16_t value) { return value != 0; });
    if (!layer.has_peepholes) layer.peepholes.clear();
    if (layer.has_projection) {
      layer.projection.rows = layer.outputs;
      layer.projection.columns = layer.cells;
      const auto row = [&](int j, int pe) {
        return j * pes_ + pe < layer.outputs ? j * pes_ + pe : -1;
      };
      if (output.rows * pes_ < layer.outputs ||
          !AddMatrix(
              output, row, [](int, int16_t) {}, &layer.projection)) {
        return false;
      }
    }
    out->layers.push_back(std::move(layer));
    return true;
  }

  bool AddOutput(size_t first, int source, ModelDraft* out) {
    MatrixDraft& matrix = out->output;
    for (size_t k = first; k < card_.passes.size(); ++k) matrix.rows += card_.passes[k].rows * pes_;
    matrix.columns = out->layers.back().outputs;
    MatrixBuilder builder(&matrix);
    int base = 0;
    for (size_t k = first; k < card_.passes.size(); ++k) {
      const CardPass& pass = card_.passes[k];
      if (pass.kind != PassKind::kOutput || pass.source != source) return false;
      const auto row = [&](int j, int pe) { return base + j * pes_ + pe; };
      if (!AddRows(
              pass, row, [](int, int16_t) {}, matrix.columns, &builder))
        return false;
      base += pass.rows * pes_;
    }
    builder.Finish();
    return matrix.rows > 0;
  }

  template <typename RowOf, typename Peephole>
  bool AddMatrix(const CardPass& pass, RowOf&& row_of, Peephole&& peephole, MatrixDraft* out) {
    MatrixBuilder builder(out);
    if (!AddRows(pass, row_of, peephole, out->columns, &builder)) return false;
    builder.Finish();
    return true;
  }

  // row_of(row of a PE, PE) is the matrix's row, or -1.
  template <typename RowOf, typename Peephole>
  bool AddRows(const CardPass& pass, RowOf&& row_of, Peephole&& peephole, int columns,
               MatrixBuilder* builder) {
    for (int j = 0; j < pass.rows; ++j) {
      for (int pe = 0; pe < pes_; ++pe) {
        const int row = row_of(j, pe);
        if (row < 0) continue;
        SparseRow weights;
        int column = -1;
        for (int k = 0; k < pass.entries; ++k) {
          const auto entry = Get<uint16_t>(entries_, (size_t(k) * pes_ + pe) * 2);
          column += EntryGap(entry) + 1;
          if (EntryWeight(entry) != 0) weights.emplace_back(column, EntryWeight(entry));
        }
        if (!weights.empty() && weights.back().first >= columns) return false;
        const uint8_t* constants = rows_ + size_t(pe) * kRowBytes;
        const auto shift = Get<uint16_t>(constants, 6);
        if (shift > kMaxRowShift) return false;
        builder->Set(row, std::move(weights), shift, Get<int32_t>(constants, 0));
        peephole(row, Get<int16_t>(constants, 4));
      }
      entries_ += size_t(pass.entries) * card_.shape.beat_bytes();
      rows_ += size_t(pes_) * kRowBytes;
    }
    return true;
  }

  const CardModel& card_;
  const int pes_;
  const uint8_t* rows_;
  const uint8_t* entries_;
};

// Not through a file: a shim may not have the manifest's protobuf a second time in the process.
class UnpackedModel final : public Model {
 public:
  explicit UnpackedModel(ModelDraft draft) : draft_(std::move(draft)) {
    name = draft_.name;
    for (const LayerDraft& from : draft_.layers) {
      layers.push_back({.inputs = from.inputs,
                        .cells = from.cells,
                        .outputs = from.outputs,
                        .has_projection = from.has_projection,
                        .has_peepholes = from.has_peepholes,
                        .g_activation = from.g_activation,
                        .hidden_fraction_bits = from.hidden_fraction_bits,
                        .output_fraction_bits = from.output_fraction_bits,
                        .gates = ViewOf(from.gates),
                        .projection = ViewOf(from.projection),
                        .peepholes = from.peepholes});
    }
    output = ViewOf(draft_.output);
  }

 private:
  const ModelDraft draft_;  // what the arrays point into
};

}  // namespace

CardError ReadCardModel(const CardShape& shape, KernelMemory* memory, uint64_t address,
                        CardModel* out) {
  const uint8_t* header = memory->At(address, kCardRecordBytes);
  if (header == nullptr) return CardError::kReadFailed;
  const auto word = [&](int k) { return Get<uint32_t>(header, size_t(k) * 4); };
  if (word(0) != kPackedMagic) return CardError::kBadModel;
  if (word(1) != (kPackedVersion | static_cast<uint32_t>(shape.pes) << 16)) {
    return CardError::kOtherShape;
  }
  // No packed model has larger sizes, and sums of them stay within an int.
  constexpr uint32_t kMaxWord = 1 << 30;
  for (int k = 2; k < 8; ++k) {
    if (word(k) == 0 || word(k) > kMaxWord) return CardError::kBadModel;
  }
  const size_t passes = word(2);
  out->shape = shape;
  out->rows = static_cast<int>(word(3));
  out->entry_beats = word(4);
  out->inputs = static_cast<int>(word(5));
  out->y_columns = static_cast<int>(word(6));
  out->cells = static_cast<int>(word(7));
  const size_t size = kCardRecordBytes * (1 + passes) + size_t(out->rows) * shape.pes * kRowBytes +
                      size_t(out->entry_beats) * shape.beat_bytes();
  const uint8_t* bytes = memory->At(address, size);
  if (bytes == nullptr) return CardError::kReadFailed;
  out->bytes.assign(bytes, bytes + size);
  int64_t rows = 0, beats = 0, cells = 0;
  for (size_t k = 1; k <= passes; ++k) {
    const uint8_t* record = out->bytes.data() + k * kCardRecordBytes;
    const auto flags = Get<uint32_t>(record, 0);
    CardPass pass;
    pass.kind = static_cast<PassKind>(flags & 3);
    pass.g_sigmoid = flags >> 2 & 1;
    pass.shift = flags >> 3 & 31;
    pass.entries = static_cast<int>(flags >> 16);
    pass.rows = Get<uint16_t>(record, 4);
    pass.count = Get<uint16_t>(record, 6);
    pass.source = Get<uint16_t>(record, 8);
    pass.target = Get<uint16_t>(record, 10);
    if (pass.entries == 0 || pass.rows == 0 || pass.count == 0) return CardError::kBadPass;
    if (pass.kind == PassKind::kOutput) out->units += pass.rows * shape.pes;
    if (pass.kind == PassKind::kGates) {
      out->layer_cells.push_back(pass.count);
      cells += pass.rows / 4;
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

std::shared_ptr<const Model> UnpackModel(const CardModel& card) {
  ModelDraft draft;
  if (!Unpacker(card).Unpack(&draft)) return nullptr;
  return std::make_shared<UnpackedModel>(std::move(draft));
}

}  // namespace ese::emu
