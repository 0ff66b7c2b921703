// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/packed_model.h"

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/processors.h"
#include "base/status.h"
#include "model/arithmetic.h"

namespace ese {
namespace {

// Half a unit of the last place that a right shift by `shift` bits keeps (equation 1).
int32_t Half(int shift) { return shift == 0 ? 0 : int32_t{1} << (shift - 1); }

int Strips(int rows) { return (rows + kStripRows - 1) / kStripRows; }

absl::Status CheckColumns(const std::string& name, const Matrix& matrix) {
  if (matrix.columns <= kMaxColumns) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the matrix of ", name, " has ", matrix.columns,
                                                 " columns; the CPU back end takes up to ",
                                                 kMaxColumns));
}

static_assert(kFineShift == kFineBits);

int BlocksFor(int entries) { return (entries + kBlockEntries - 1) / kBlockEntries; }

// The entries of a matrix, or its fine entries, as a matrix of its own.
Matrix CoarsePart(const Matrix& matrix) {
  Matrix part = matrix;
  part.fine_entries_per_row = 0;
  part.fine_entries = {};
  return part;
}
Matrix FinePart(const Matrix& matrix) {
  Matrix part = CoarsePart(matrix);
  part.entries_per_row = matrix.fine_entries_per_row;
  part.entries = matrix.fine_entries;
  return part;
}

// The sum of a row's weights from those of its entries and of its fine entries.
int64_t JoinSums(const Matrix& matrix, int32_t coarse, int32_t fine) {
  if (matrix.fine_entries_per_row == 0) return coarse;
  return int64_t{coarse} * (1 << kFineBits) + fine;
}

// Writes row r's entries (not its fine entries) into its group's blocks and returns the sum of
// their weights.
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

// The addend of RowConstants for row r, before it is reduced modulo 2^32.
int64_t Addend(const Matrix& matrix, int r, int64_t sum_of_weights, int32_t rounding) {
  const int64_t correction = -128 * sum_of_weights * (int64_t{1} << matrix.shift[r]);
  return int64_t{matrix.bias[r]} + rounding + correction;
}

// The number of parts, each on a thread of its own, in which to pack a matrix: one for each
// processor, if there is enough to do.
int Parts(const Matrix& matrix) {
  // Packing so many entries takes about ten times as long as starting a thread.
  constexpr size_t kEntriesForThread = size_t{1} << 16;
  const size_t most = (matrix.entries.size() + matrix.fine_entries.size()) / kEntriesForThread + 1;
  return static_cast<int>(std::min<size_t>(ThreadsAllowed(), most));
}

// The constants of the strip that the packers of the matrix's parts appended last.
StripConstants ConstantsOf(const Matrix& matrix, const int (&rows)[kStripRows],
                           const LookupPacker& coarse, const LookupPacker& fine, int shift,
                           bool right_only) {
  StripConstants constants = {};
  for (int i = 0; i < kStripRows && rows[i] >= 0; ++i) {
    const int left = matrix.shift[rows[i]];
    const int64_t sum = JoinSums(matrix, coarse.SumOfWeights(i), fine.SumOfWeights(i));
    const int64_t addend = Addend(matrix, rows[i], sum, Half(shift));
    constants.shift[i] = right_only ? shift - left : left;
    constants.addend[i] = static_cast<int32_t>(right_only ? addend >> left : addend);
  }
  return constants;
}

// Divides 0 to n - 1 into `parts` ranges and calls pack(part, first, end) for all of them at the
// same time, each on its own thread.
template <typename Pack>
void InParallel(int parts, int n, const Pack& pack) {
  const auto run = [&](int part) {
    const auto begin = [&](int64_t i) { return static_cast<int>(i * n / parts); };
    pack(part, begin(part), begin(part + 1));
  };
  std::vector<std::thread> others;
  for (int part = 1; part < parts; ++part) others.emplace_back(run, part);
  run(0);
  for (std::thread& thread : others) thread.join();
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
  output_ = PackColumns(model_->output, 0);
  const Layer& last = model_->layers.back();
  lookup_output_ =
      PackStripsInOrder(model_->output, LookupLayout(last.inputs, last.outputs), last.inputs, 0);
}

PackedLayer PackedModel::Pack(const Layer& layer) {
  PackedLayer packed;
  packed.inputs = layer.inputs;
  packed.cells = layer.cells;
  packed.outputs = layer.outputs;
  packed.has_projection = layer.has_projection;
  packed.g_is_sigmoid = layer.g_activation == GActivation::kSigmoid;
  packed.hidden_scale = static_cast<int16_t>(1 << layer.hidden_fraction_bits);
  packed.gates = PackColumns(layer.gates, Half(kPreActivationShift));
  packed.tanh = &tanh_;
  const LookupLayout v(layer.inputs, layer.outputs), m(0, layer.cells);
  packed.lookup_v = PackVector(v);
  packed.lookup_m = PackVector(m);
  packed.lookup_x = v.x_granule();
  const auto gate_row = [&](int strip, int i) {
    const int cell = strip / 4 * kStripRows + i, gate = strip % 4;
    return cell < layer.cells ? 4 * cell + gate : -1;
  };
  packed.lookup_gates = PackStrips(layer.gates, v, 0, 4 * Strips(layer.cells), kPreActivationShift,
                                   layer.has_peepholes, gate_row);
  if (layer.has_peepholes) PackPeepholes(layer, &packed);
  if (layer.has_projection) {
    packed.projection_shift = Accumulator::kFractionBits - layer.output_fraction_bits;
    packed.projection = PackColumns(layer.projection, Half(packed.projection_shift));
    packed.lookup_projection = PackStripsInOrder(layer.projection, m, 0, packed.projection_shift);
  }
  return packed;
}

void PackedModel::PackPeepholes(const Layer& layer, PackedLayer* packed) {
  auto* const by_cell = memory_.Take<int16_t>(size_t(layer.cells) * 4);
  auto* const by_strip = memory_.Take<int16_t>(size_t(Strips(layer.cells)) * 3 * 2 * kStripRows);
  for (int cell = 0; cell < layer.cells; ++cell) {
    for (int k = 0; k < 3; ++k) {
      const int16_t peephole = layer.peepholes[3 * cell + k];
      by_cell[4 * cell + k] = peephole;
      int16_t* four = &by_strip[((cell / kStripRows * 3 + k) * 4 + cell % kStripRows / 4) * 8];
      four[cell % 4] = four[4 + cell % 4] = peephole;
    }
  }
  packed->peepholes = by_cell;
  packed->lookup_peepholes = by_strip;
}

PackedMatrix PackedModel::PackColumns(const Matrix& matrix, int32_t rounding) {
  PackedMatrix packed;
  packed.groups = (matrix.rows + kBlockRows - 1) / kBlockRows;
  packed.coarse_blocks = BlocksFor(matrix.entries_per_row);
  packed.blocks_per_group = packed.coarse_blocks + BlocksFor(matrix.fine_entries_per_row);
  const Matrix fine_part = FinePart(matrix);
  auto* const blocks = memory_.Take<EntryBlock>(size_t(packed.groups) * packed.blocks_per_group);
  auto* const constants = memory_.Take<RowConstants>(packed.groups);
  InParallel(Parts(matrix), packed.groups, [&](int, int first, int end) {
    for (int r = first * kBlockRows; r < std::min(matrix.rows, end * kBlockRows); ++r) {
      const int group = r / kBlockRows;
      EntryBlock* const first_block = blocks + size_t(group) * packed.blocks_per_group;
      const int32_t coarse = PackRow(matrix, r, first_block);
      const int32_t fine = PackRow(fine_part, r, first_block + packed.coarse_blocks);
      constants[group].shift[r % kBlockRows] = matrix.shift[r];
      constants[group].addend[r % kBlockRows] =
          static_cast<int32_t>(Addend(matrix, r, JoinSums(matrix, coarse, fine), rounding));
    }
  });
  packed.blocks = blocks;
  packed.constants = constants;
  return packed;
}

LookupVector PackedModel::PackVector(const LookupLayout& layout) {
  auto* const offsets = memory_.Take<uint32_t[2]>(layout.granules());
  const auto offset_of = [](uint32_t position) {
    return position / kGranulesPerLine * kLookupLanes * kLineColumns +
           position % kGranulesPerLine * kGranule;
  };
  for (int g = 0; g < layout.granules(); ++g) {
    for (int copy = 0; copy < 2; ++copy) offsets[g][copy] = offset_of(layout.Position(g, copy));
  }
  return {.granules = layout.granules(), .lines = layout.lines(), .offsets = offsets};
}

template <typename RowOf>
LookupMatrix PackedModel::PackStrips(const Matrix& matrix, const LookupLayout& layout,
                                     int first_column, int strips, int shift, bool exact,
                                     RowOf row_of) {
  auto* const tile_counts = memory_.Take<uint16_t>(strips);
  const bool has_fine = matrix.fine_entries_per_row > 0;
  auto* const coarse_counts = has_fine ? memory_.Take<uint16_t>(strips) : tile_counts;
  const Matrix coarse_part = CoarsePart(matrix), fine_part = FinePart(matrix);
  auto* const right_only = memory_.Take<uint8_t>(strips);
  auto* const constants = memory_.Take<StripConstants>(strips);
  std::vector<LookupTiles> parts(Parts(matrix));
  const auto pack = [&](int part, int first, int end) {
    LookupPacker coarse(coarse_part, layout, first_column);
    LookupPacker fine(fine_part, layout, first_column);
    LookupTiles& out = parts[part];
    for (int strip = first; strip < end; ++strip) {
      int rows[kStripRows];
      for (int i = 0; i < kStripRows; ++i) rows[i] = row_of(strip, i);
      const size_t before = out.tiles.size();
      coarse.Append(rows, strip % 2 == 0, &out);
      coarse_counts[strip] = static_cast<uint16_t>(out.tiles.size() - before);
      if (has_fine) fine.Append(rows, strip % 2 == 0, &out);
      tile_counts[strip] = static_cast<uint16_t>(out.tiles.size() - before);
      const auto fits = [&](int r) { return r < 0 || matrix.shift[r] <= shift; };
      right_only[strip] =
          !exact && !has_fine && shift > 0 && std::all_of(rows, rows + kStripRows, fits);
      constants[strip] = ConstantsOf(matrix, rows, coarse, fine, shift, right_only[strip] != 0);
    }
  };
  InParallel(static_cast<int>(parts.size()), strips, pack);
  LookupMatrix packed = {.strips = strips,
                         .result_shift = exact ? 0 : shift,
                         .tile_counts = tile_counts,
                         .coarse_counts = coarse_counts,
                         .right_only = right_only,
                         .constants = constants};
  ConcatenateTiles(parts, &packed);
  return packed;
}

void PackedModel::ConcatenateTiles(const std::vector<LookupTiles>& parts, LookupMatrix* matrix) {
  size_t count = 0;
  for (const LookupTiles& part : parts) count += part.tiles.size();
  auto* const tiles = memory_.Take<LookupTile>(count);
  auto* const lines = memory_.Take<uint16_t>(count);
  size_t done = 0;
  for (const LookupTiles& part : parts) {
    std::copy(part.tiles.begin(), part.tiles.end(), tiles + done);
    std::copy(part.lines.begin(), part.lines.end(), lines + done);
    done += part.tiles.size();
  }
  matrix->tiles = tiles;
  matrix->lines = lines;
}

LookupMatrix PackedModel::PackStripsInOrder(const Matrix& matrix, const LookupLayout& layout,
                                            int first_column, int shift) {
  return PackStrips(matrix, layout, first_column, Strips(matrix.rows), shift, false,
                    [&](int strip, int i) {
                      const int r = strip * kStripRows + i;
                      return r < matrix.rows ? r : -1;
                    });
}

}  // namespace ese
