// SPDX-License-Identifier: Apache-2.0
#include "accel/emu/card_unpacker.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "accel/card/card_format.h"
#include "accel/card/row_map.h"
#include "model/arithmetic.h"
#include "model/equal_rows.h"

namespace ese::emu {
namespace {

// A row of a matrix as {column, weight}, without zeros.
using SparseRow = std::vector<std::pair<int, int>>;

// Collects rows, in any order, into one matrix.
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

// Walks through the passes in order, and through the rows and entries that belong to them.
class Unpacker {
 public:
  explicit Unpacker(const CardModel& card)
      : Unpacker(card, CardModelLayout(card.shape, card.passes.size(), size_t(card.rows),
                                       size_t(card.entry_beats))) {}

  // Returns false if no model packs to this.
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
  Unpacker(const CardModel& card, const CardModelLayout& layout)
      : card_(card),
        pes_(card.shape.pes),
        rows_(card.bytes.data() + layout.rows),
        entries_(card.bytes.data() + layout.entries) {}

  // `output` is the pass that writes the layer's outputs: a projection or a copy.
  bool AddLayer(const CardPass& gates, const CardPass& output, int source, int target,
                ModelDraft* out) {
    LayerDraft layer;
    layer.inputs = target - source;
    layer.cells = gates.count;
    layer.outputs = output.count;
    layer.has_projection = output.kind == PassKind::kProjection;
    layer.g_activation = gates.g_sigmoid ? GActivation::kSigmoid : GActivation::kTanh;
    layer.hidden_fraction_bits = Gate::kFractionBits - gates.shift;
    layer.output_fraction_bits = layer.has_projection ? Accumulator::kFractionBits - output.shift
                                                      : layer.hidden_fraction_bits;
    if (gates.source != source || output.target != target) return false;
    if (!PassesFit(gates, output) || !FormatsAreValid(layer) || !AddGates(gates, &layer) ||
        !AddProjection(output, &layer)) {
      return false;
    }
    out->layers.push_back(std::move(layer));
    return true;
  }

  // Whether the PEs have enough rows for the passes of a layer, and the passes follow one another.
  bool PassesFit(const CardPass& gates, const CardPass& output) const {
    if (gates.rows % kCardGates != 0 || gates.rows < gates.row_map(pes_).pe_rows()) return false;
    if (output.kind == PassKind::kCopy) return output.count == gates.count;
    return output.kind == PassKind::kProjection && output.rows >= output.row_map(pes_).pe_rows();
  }

  static bool FormatsAreValid(const LayerDraft& layer) {
    if (layer.hidden_fraction_bits < kMinHiddenFractionBits ||
        layer.hidden_fraction_bits > kMaxHiddenFractionBits) {
      return false;
    }
    return !layer.has_projection ||
           (layer.output_fraction_bits >= 0 && layer.output_fraction_bits <= 7);
  }

  bool AddGates(const CardPass& pass, LayerDraft* layer) {
    layer->gates.rows = kCardGates * layer->cells;
    layer->gates.columns = layer->inputs + layer->outputs;
    layer->peepholes.resize(size_t(layer->cells) * 3);
    MatrixBuilder builder(&layer->gates);
    const auto set_peephole = [&](int row, int16_t value) {
      const int index = PeepholeOfGate(row % kCardGates);
      if (index >= 0) layer->peepholes[size_t(row / kCardGates) * 3 + index] = value;
    };
    if (!AddRows(pass, pass.row_map(pes_), layer->gates.columns, set_peephole, &builder)) {
      return false;
    }
    builder.Finish();
    layer->has_peepholes = std::any_of(layer->peepholes.begin(), layer->peepholes.end(),
                                       [](int16_t value) { return value != 0; });
    if (!layer->has_peepholes) layer->peepholes.clear();
    return true;
  }

  bool AddProjection(const CardPass& pass, LayerDraft* layer) {
    if (!layer->has_projection) return true;
    layer->projection.rows = layer->outputs;
    layer->projection.columns = layer->cells;
    MatrixBuilder builder(&layer->projection);
    if (!AddRows(pass, pass.row_map(pes_), layer->cells, IgnorePeephole, &builder)) return false;
    builder.Finish();
    return true;
  }

  bool AddOutput(size_t first_pass, int source, ModelDraft* out) {
    MatrixDraft& matrix = out->output;
    for (size_t k = first_pass; k < card_.passes.size(); ++k) {
      matrix.rows += card_.passes[k].rows * pes_;
    }
    matrix.columns = out->layers.back().outputs;
    MatrixBuilder builder(&matrix);
    int first_unit = 0;
    for (size_t k = first_pass; k < card_.passes.size(); ++k) {
      const CardPass& pass = card_.passes[k];
      if (pass.kind != PassKind::kOutput || pass.source != source) return false;
      // Every row of every PE is a unit, whatever it was in the model that was packed.
      const RowMap map(PassKind::kOutput, pass.rows * pes_, pes_, first_unit);
      if (!AddRows(pass, map, matrix.columns, IgnorePeephole, &builder)) return false;
      first_unit += map.matrix_rows();
    }
    builder.Finish();
    return matrix.rows > 0;
  }

  static void IgnorePeephole(int /*row*/, int16_t /*value*/) {}

  // Adds the next rows, those of `pass`, and calls peephole(row, value) for each.
  template <typename Peephole>
  bool AddRows(const CardPass& pass, const RowMap& map, int columns, Peephole&& peephole,
               MatrixBuilder* builder) {
    for (int j = 0; j < pass.rows; ++j) {
      for (int pe = 0; pe < pes_; ++pe) {
        const int row = map.At({pe, j}).row;
        if (row < 0) continue;
        SparseRow weights = Weights(pe, pass.entries);
        if (!weights.empty() && weights.back().first >= columns) return false;
        const auto constants = LoadFromCard<CardRow>(rows_ + size_t(pe) * sizeof(CardRow));
        if (constants.shift > kMaxRowShift) return false;
        builder->Set(row, std::move(weights), constants.shift, constants.bias);
        peephole(row, constants.peephole);
      }
      entries_ += size_t(pass.entries) * card_.shape.beat_bytes();
      rows_ += size_t(pes_) * sizeof(CardRow);
    }
    return true;
  }

  // The weights of a PE's next row, of so many entries.
  SparseRow Weights(int pe, int entries) const {
    SparseRow weights;
    int column = -1;
    const uint8_t* at = entries_ + size_t(pe) * sizeof(uint16_t);
    for (int k = 0; k < entries; ++k, at += card_.shape.beat_bytes()) {
      const auto entry = LoadFromCard<uint16_t>(at);
      column += EntryGap(entry) + 1;
      if (EntryWeight(entry) != 0) weights.emplace_back(column, EntryWeight(entry));
    }
    return weights;
  }

  const CardModel& card_;
  const int pes_;
  const uint8_t* rows_;     // of the next row of each PE
  const uint8_t* entries_;  // likewise
};

// Points into its own draft. It does not go through the file format, because the emulated card
// would then register the manifest's protobuf a second time in the process that loads it.
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
  const ModelDraft draft_;
};

}  // namespace

std::shared_ptr<const Model> UnpackModel(const CardModel& card) {
  ModelDraft draft;
  if (!Unpacker(card).Unpack(&draft)) return nullptr;
  return std::make_shared<UnpackedModel>(std::move(draft));
}

}  // namespace ese::emu
