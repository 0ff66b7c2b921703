#include "accel/cpu/packed_model.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/arithmetic.h"

namespace ese {
namespace {

// Half a unit of the last place kept after a right shift of `shift` bits (equation 1).
int32_t Half(int shift) { return shift == 0 ? 0 : int32_t{1} << (shift - 1); }

int Strips(int rows) { return (rows + kStripRows - 1) / kStripRows; }

absl::Status CheckColumns(const std::string& name, const Matrix& matrix) {
  if (matrix.columns <= kMaxColumns) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the matrix of ", name, " has ", matrix.columns,
                                                 " columns; the CPU back end takes up to ",
                                                 kMaxColumns));
}

// Puts row r's entries into its place in the group's blocks; returns the sum of its weights.
int32_t PackRow(const Matrix& matrix, int r, EntryBlock* blocks) {
  const int n = matrix.entries_per_row;
  const uint16_t* entries = matrix.entries.data() + size_t(r) * n;
  int32_t sum = 0;
  int column = -1;
  for (int k = 0; k < n; ++k) {
    column += EntryGap(entries[k]) + 1;
    EntryBlock& block = blocks[k / kBlockEntries];
    block.column8[r % kBlockRows][k % kBlockEntries] = static_cast<uint16_t>(column * kColumnUnit);
    block.weight[r % kBlockRows][k % kBlockEntries] = static_cast<int8_t>(EntryWeight(entries[k]));
    sum += EntryWeight(entries[k]);
  }
  return sum;
}

// What a row's sum over unsigned activations lacks (see RowConstants).
int32_t Addend(const Matrix& matrix, int r, int32_t sum_of_weights, int32_t rounding) {
  const auto correction = static_cast<uint32_t>(-128 * int64_t{sum_of_weights}) << matrix.shift[r];
  return static_cast<int32_t>(static_cast<uint32_t>(matrix.bias[r]) +
                              static_cast<uint32_t>(rounding) + correction);
}

// One row's entries in the order of their columns; those before `next` are in a step already.
struct PendingRow {
  PendingRow(const Matrix& matrix, int r) {
    if (r < 0) return;
    columns.reserve(matrix.entries_per_row);
    weights.reserve(matrix.entries_per_row);
    int column = -1;
    for (int k = 0; k < matrix.entries_per_row; ++k) {
      const uint16_t entry = matrix.entries[size_t(r) * matrix.entries_per_row + k];
      column += EntryGap(entry) + 1;
      columns.push_back(column);
      weights.push_back(static_cast<int8_t>(EntryWeight(entry)));
      sum += EntryWeight(entry);
    }
  }
  size_t PendingBefore(int column) const {
    const auto from = columns.begin() + static_cast<std::ptrdiff_t>(next);
    return static_cast<size_t>(std::lower_bound(from, columns.end(), column) - from);
  }

  std::vector<int> columns;
  std::vector<int8_t> weights;
  size_t next = 0;
  int32_t sum = 0;
};

// Appends the steps that one tile of a strip takes; returns how many.
size_t AppendTileSteps(int tile, bool last, std::vector<PendingRow>* rows,
                       std::vector<LookupStep>* steps) {
  const int first = tile * kTileStride;
  size_t most = 0;  // that cannot wait for the next tile
  for (const PendingRow& row : *rows) {
    most = std::max(most, row.PendingBefore(first + (last ? kTileColumns : kTileStride)));
  }
  const size_t count = (most + kBlockEntries - 1) / kBlockEntries;
  const size_t begin = steps->size();
  steps->resize(begin + count, LookupStep{});
  for (size_t r = 0; r < rows->size(); ++r) {
    PendingRow& row = (*rows)[r];
    const size_t n = std::min(row.PendingBefore(first + kTileColumns), count * kBlockEntries);
    for (size_t k = 0; k < n; ++k, ++row.next) {
      LookupStep& step = (*steps)[begin + k / kBlockEntries];
      step.column[r][k % kBlockEntries] = static_cast<uint8_t>(row.columns[row.next] - first);
      step.weight[r][k % kBlockEntries] = row.weights[row.next];
    }
  }
  return count;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const PackedModel>> PackedModel::Create(
    std::shared_ptr<const Model> model) {
  for (size_t l = 0; l < model->layers.size(); ++l) {
    const Layer& layer = model->layers[l];
    ESE_RETURN_IF_ERROR(CheckColumns(absl::StrCat("layer ", l, "'s gates"), layer.gates));
    ESE_RETURN_IF_ERROR(CheckColumns(absl::StrCat("layer ", l, "'s projection"), layer.projection));
  }
  ESE_RETURN_IF_ERROR(CheckColumns("the output layer", model->output));
  return std::shared_ptr<const PackedModel>(new PackedModel(std::move(model)));
}

PackedModel::PackedModel(std::shared_ptr<const Model> model) : model_(std::move(model)) {
  std::copy(kTanhSegments.c0.begin(), kTanhSegments.c0.end(), tanh_.c0);
  std::copy(kTanhSegments.c1.begin(), kTanhSegments.c1.end(), tanh_.c1);
  std::copy(kTanhSegments.c2.begin(), kTanhSegments.c2.end(), tanh_.c2);
  std::copy(kTanhSegments.c3.begin(), kTanhSegments.c3.end(), tanh_.c3);
  for (const Layer& layer : model_->layers) layers_.push_back(Pack(layer));
  output_ = Pack(model_->output, 0);
  few_output_ = PackStripsInOrder(model_->output, 0);
}

PackedLayer PackedModel::Pack(const Layer& layer) {
  PackedLayer packed;
  packed.inputs = layer.inputs;
  packed.cells = layer.cells;
  packed.outputs = layer.outputs;
  packed.has_projection = layer.has_projection;
  packed.g_is_sigmoid = layer.g_activation == GActivation::kSigmoid;
  packed.gates = Pack(layer.gates, Half(kPreActivationShift));
  packed.tanh = &tanh_;
  const int bundles = Strips(layer.cells);
  packed.few_gates =
      PackStrips(layer.gates, 4 * bundles, Half(kPreActivationShift), [&](int strip, int i) {
        const int cell = strip / 4 * kStripRows + i;
        return cell < layer.cells ? 4 * cell + strip % 4 : -1;
      });
  if (layer.has_peepholes) PackPeepholes(layer, &packed);
  if (layer.has_projection) {
    packed.projection_shift = Accumulator::kFractionBits - layer.output_fraction_bits;
    packed.projection = Pack(layer.projection, Half(packed.projection_shift));
    packed.few_projection = PackStripsInOrder(layer.projection, Half(packed.projection_shift));
  }
  return packed;
}

void PackedModel::PackPeepholes(const Layer& layer, PackedLayer* packed) {
  AlignedBuffer<int16_t> by_cell(size_t(layer.cells) * 4);
  AlignedBuffer<int16_t> by_strip(size_t(Strips(layer.cells)) * 3 * kStripRows);
  for (int cell = 0; cell < layer.cells; ++cell) {
    for (int k = 0; k < 3; ++k) {
      const int16_t peephole = layer.peepholes[3 * cell + k];
      by_cell[4 * cell + k] = peephole;
      by_strip[(cell / kStripRows * 3 + k) * kStripRows + cell % kStripRows] = peephole;
    }
  }
  packed->peepholes = by_cell.data();
  packed->few_peepholes = by_strip.data();
  bytes_ += (by_cell.size() + by_strip.size()) * sizeof(int16_t);
  peepholes_.push_back(std::move(by_cell));
  peepholes_.push_back(std::move(by_strip));
}

PackedMatrix PackedModel::Pack(const Matrix& matrix, int32_t rounding) {
  PackedMatrix packed;
  packed.groups = (matrix.rows + kBlockRows - 1) / kBlockRows;
  packed.blocks_per_group = (matrix.entries_per_row + kBlockEntries - 1) / kBlockEntries;
  AlignedBuffer<EntryBlock> blocks(size_t(packed.groups) * packed.blocks_per_group);
  AlignedBuffer<RowConstants> constants(packed.groups);
  for (int r = 0; r < matrix.rows; ++r) {
    const int group = r / kBlockRows;
    EntryBlock* first = blocks.data() + size_t(group) * packed.blocks_per_group;
    const int32_t sum = PackRow(matrix, r, first);
    constants[group].shift[r % kBlockRows] = matrix.shift[r];
    constants[group].addend[r % kBlockRows] = Addend(matrix, r, sum, rounding);
  }
  packed.blocks = blocks.data();
  packed.constants = constants.data();
  bytes_ += blocks.size() * sizeof(EntryBlock) + constants.size() * sizeof(RowConstants);
  blocks_.push_back(std::move(blocks));
  constants_.push_back(std::move(constants));
  return packed;
}

template <typename RowOf>
LookupMatrix PackedModel::PackStrips(const Matrix& matrix, int strips, int32_t rounding,
                                     RowOf row_of) {
  LookupMatrix packed;
  packed.strips = strips;
  packed.tiles = std::max(1, (matrix.columns - 1) / kTileStride);
  AlignedBuffer<uint8_t> counts(size_t(strips) * packed.tiles);
  AlignedBuffer<int32_t> constants(size_t(2) * strips * kStripRows);  // shifts, then addends
  std::vector<LookupStep> steps;
  for (int strip = 0; strip < strips; ++strip) {
    std::vector<PendingRow> rows;
    for (int i = 0; i < kStripRows; ++i) {
      const int r = row_of(strip, i);
      rows.emplace_back(matrix, r);
      if (r < 0) continue;
      const int at = strip * kStripRows + i;
      constants[at] = matrix.shift[r];
      constants[strips * kStripRows + at] = Addend(matrix, r, rows.back().sum, rounding);
    }
    for (int tile = 0; tile < packed.tiles; ++tile) {
      const bool last = tile + 1 == packed.tiles;
      counts[strip * packed.tiles + tile] =
          static_cast<uint8_t>(AppendTileSteps(tile, last, &rows, &steps));
    }
  }
  steps_.emplace_back(steps.size());
  std::copy(steps.begin(), steps.end(), steps_.back().begin());
  packed.steps = steps_.back().data();
  packed.counts = counts.data();
  packed.shift = constants.data();
  packed.addend = constants.data() + size_t(strips) * kStripRows;
  bytes_ += steps.size() * sizeof(LookupStep) + counts.size() + constants.size() * sizeof(int32_t);
  counts_.push_back(std::move(counts));
  strip_constants_.push_back(std::move(constants));
  return packed;
}

LookupMatrix PackedModel::PackStripsInOrder(const Matrix& matrix, int32_t rounding) {
  return PackStrips(matrix, Strips(matrix.rows), rounding, [&](int strip, int i) {
    const int r = strip * kStripRows + i;
    return r < matrix.rows ? r : -1;
  });
}

}  // namespace ese
