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

// What a row's sum over unsigned activations lacks (see RowConstants), which may need more than 32
// bits.
int64_t Addend(const Matrix& matrix, int r, int32_t sum_of_weights, int32_t rounding) {
  const int64_t correction = -128 * int64_t{sum_of_weights} * (int64_t{1} << matrix.shift[r]);
  return int64_t{matrix.bias[r]} + rounding + correction;
}

// In how many parts to pack a matrix: as many as there are processors, if there is enough to do.
int Parts(const Matrix& matrix) {
  constexpr size_t kEntriesForThread = size_t{1} << 16;  // some ten times what starting one takes
  const size_t most = matrix.entries.size() / kEntriesForThread + 1;
  return static_cast<int>(std::min<size_t>(ThreadsAllowed(), most));
}

// Calls pack(part, first, end) for each part of 0 to n - 1 at the same time.
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
  output_ = Pack(model_->output, 0);
  const Layer& last = model_->layers.back();
  lookup_output_ =
      PackStripsInOrder(model_->output, LookupPlaces(last.inputs, last.outputs), last.inputs, 0);
}

PackedLayer PackedModel::Pack(const Layer& layer) {
  PackedLayer packed;
  packed.inputs = layer.inputs;
  packed.cells = layer.cells;
  packed.outputs = layer.outputs;
  packed.has_projection = layer.has_projection;
  packed.g_is_sigmoid = layer.g_activation == GActivation::kSigmoid;
  packed.hidden_scale = static_cast<int16_t>(1 << layer.hidden_fraction_bits);
  packed.gates = Pack(layer.gates, Half(kPreActivationShift));
  packed.tanh = &tanh_;
  const LookupPlaces v(layer.inputs, layer.outputs), m(0, layer.cells);
  packed.lookup_v = PackVector(v);
  packed.lookup_m = PackVector(m);
  packed.lookup_x = v.x_granule();
  packed.lookup_gates = PackStrips(layer.gates, v, 0, 4 * Strips(layer.cells), kPreActivationShift,
                                   layer.has_peepholes, [&](int strip, int i) {
                                     const int cell = strip / 4 * kStripRows + i;
                                     return cell < layer.cells ? 4 * cell + strip % 4 : -1;
                                   });
  if (layer.has_peepholes) PackPeepholes(layer, &packed);
  if (layer.has_projection) {
    packed.projection_shift = Accumulator::kFractionBits - layer.output_fraction_bits;
    packed.projection = Pack(layer.projection, Half(packed.projection_shift));
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

PackedMatrix PackedModel::Pack(const Matrix& matrix, int32_t rounding) {
  PackedMatrix packed;
  packed.groups = (matrix.rows + kBlockRows - 1) / kBlockRows;
  packed.blocks_per_group = (matrix.entries_per_row + kBlockEntries - 1) / kBlockEntries;
  auto* const blocks = memory_.Take<EntryBlock>(size_t(packed.groups) * packed.blocks_per_group);
  auto* const constants = memory_.Take<RowConstants>(packed.groups);
  InParallel(Parts(matrix), packed.groups, [&](int, int first, int end) {
    for (int r = first * kBlockRows; r < std::min(matrix.rows, end * kBlockRows); ++r) {
      const int group = r / kBlockRows;
      const int32_t sum = PackRow(matrix, r, blocks + size_t(group) * packed.blocks_per_group);
      constants[group].shift[r % kBlockRows] = matrix.shift[r];
      constants[group].addend[r % kBlockRows] =
          static_cast<int32_t>(Addend(matrix, r, sum, rounding));
    }
  });
  packed.blocks = blocks;
  packed.constants = constants;
  return packed;
}

LookupVector PackedModel::PackVector(const LookupPlaces& places) {
  auto* const bytes = memory_.Take<uint32_t[2]>(places.granules());
  const auto begin = [](uint32_t place) {
    constexpr uint32_t kPlaces = kLineColumns / kGranule;
    return place / kPlaces * kLookupLanes * kLineColumns + place % kPlaces * kGranule;
  };
  for (int g = 0; g < places.granules(); ++g) {
    bytes[g][0] = begin(g);
    bytes[g][1] = begin(places.copy()[g]);
  }
  return {.granules = places.granules(), .lines = places.lines(), .places = bytes};
}

template <typename RowOf>
LookupMatrix PackedModel::PackStrips(const Matrix& matrix, const LookupPlaces& places,
                                     int first_column, int strips, int shift, bool exact,
                                     RowOf row_of) {
  auto* const counts = memory_.Take<uint16_t>(strips);
  auto* const right_only = memory_.Take<uint8_t>(strips);
  auto* const constants = memory_.Take<StripConstants>(strips);
  std::vector<LookupStrip> parts(Parts(matrix));
  const auto pack = [&](int part, int first, int end) {
    LookupPacker packer(matrix, places, first_column);
    LookupStrip& steps = parts[part];
    for (int strip = first; strip < end; ++strip) {
      int rows[kStripRows];
      for (int i = 0; i < kStripRows; ++i) rows[i] = row_of(strip, i);
      const size_t before = steps.lines.size();
      packer.Append(rows, strip % 2 == 0, &steps);
      counts[strip] = static_cast<uint16_t>(steps.lines.size() - before);
      const auto fits = [&](int r) { return r < 0 || matrix.shift[r] <= shift; };
      right_only[strip] = !exact && shift > 0 && std::all_of(rows, rows + kStripRows, fits);
      for (int i = 0; i < kStripRows; ++i) {
        if (rows[i] < 0) continue;
        const int r = rows[i], left = matrix.shift[r];
        const int64_t addend = Addend(matrix, r, packer.SumOfWeights(i), Half(shift));
        constants[strip].shift[i] = right_only[strip] ? shift - left : left;
        constants[strip].addend[i] =
            static_cast<int32_t>(right_only[strip] ? addend >> left : addend);
      }
    }
  };
  InParallel(static_cast<int>(parts.size()), strips, pack);
  size_t num_steps = 0;
  for (const LookupStrip& part : parts) num_steps += part.steps.size();
  auto* const steps = memory_.Take<LookupStep>(num_steps);
  auto* const lines = memory_.Take<uint16_t>(num_steps);
  size_t done = 0;
  for (const LookupStrip& part : parts) {
    std::copy(part.steps.begin(), part.steps.end(), steps + done);
    std::copy(part.lines.begin(), part.lines.end(), lines + done);
    done += part.steps.size();
  }
  return {.strips = strips,
          .result_shift = exact ? 0 : shift,
          .counts = counts,
          .right_only = right_only,
          .constants = constants,
          .steps = steps,
          .lines = lines};
}

LookupMatrix PackedModel::PackStripsInOrder(const Matrix& matrix, const LookupPlaces& places,
                                            int first_column, int shift) {
  return PackStrips(matrix, places, first_column, Strips(matrix.rows), shift, false,
                    [&](int strip, int i) {
                      const int r = strip * kStripRows + i;
                      return r < matrix.rows ? r : -1;
                    });
}

}  // namespace ese
