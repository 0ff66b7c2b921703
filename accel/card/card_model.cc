// SPDX-License-Identifier: Apache-2.0
#include "accel/card/card_model.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "accel/card/card_writer.h"
#include "accel/card/output_split.h"
#include "accel/transpose.h"
#include "model/fixed_point.h"

namespace ese {
namespace {

int Rounds(int rows, int pes) { return (rows + pes - 1) / pes; }

// A row without entries still takes one word, of zeros.
CardPass MatrixPass(PassKind kind, const Matrix& matrix, int rows, int count) {
  CardPass pass;
  pass.kind = kind;
  pass.matrix = &matrix;
  pass.entries = std::max(matrix.entries_per_row, 1);
  pass.rows = rows;
  pass.count = count;
  return pass;
}

void AddLayer(const Layer& layer, int source, int target, CardModel* out) {
  const int cell_rounds = Rounds(layer.cells, out->shape.pes);
  CardPass gates = MatrixPass(PassKind::kGates, layer.gates, kCardGates * cell_rounds, layer.cells);
  gates.g_sigmoid = layer.g_activation == GActivation::kSigmoid;
  gates.shift = Gate::kFractionBits - layer.hidden_fraction_bits;
  gates.source = source;
  out->passes.push_back(gates);

  CardPass output;
  if (layer.has_projection) {
    output = MatrixPass(PassKind::kProjection, layer.projection,
                        Rounds(layer.outputs, out->shape.pes), layer.outputs);
    output.shift = Accumulator::kFractionBits - layer.output_fraction_bits;
  } else {
    output.kind = PassKind::kCopy;
    output.entries = layer.cells;
    output.rows = 1;
    output.count = layer.cells;
  }
  output.target = target;
  out->passes.push_back(output);
  out->layer_cells.push_back(layer.cells);
  out->cells += cell_rounds;
}

int LongestLane(const CardModel& model, const std::vector<Lane>& lanes) {
  size_t longest = 0;
  for (const Lane& lane : lanes) longest = std::max(longest, lane.frames.size() / model.inputs);
  return static_cast<int>(longest);
}

}  // namespace

int64_t CardModel::state_bytes() const {
  return (int64_t{y_columns} + int64_t{cells} * shape.lanes) * shape.beat_bytes();
}
int64_t CardModel::input_bytes(int frames) const {
  return int64_t{frames} * inputs * shape.beat_bytes();
}
int64_t CardModel::output_bytes(int frames) const {
  return int64_t{frames} * Rounds(units, shape.pes) * shape.lanes * 2 * shape.beat_bytes();
}

absl::StatusOr<CardModel> PackForCard(const Model& model, const CardShape& shape) {
  if (model.NeedsFinerArithmetic()) {
    return absl::InvalidArgumentError(
        absl::StrCat("model ", model.name,
                     " needs finer arithmetic (fine entries or wide inputs), which cards do not "
                     "have yet; serve it on CPU channels, or compile it without"));
  }
  CardModel out;
  out.shape = shape;
  out.inputs = model.input_columns();
  out.y_columns = model.total_outputs();
  out.units = model.num_units();
  int source = 0;
  int target = out.inputs;
  for (const Layer& layer : model.layers) {
    AddLayer(layer, source, target, &out);
    source = target;
    target += layer.outputs;
  }
  for (const CardPass& pass : SplitOutput(model.output, shape.pes, source)) {
    out.passes.push_back(pass);
  }

  for (const CardPass& pass : out.passes) {
    const int largest = std::max({pass.entries, pass.rows, pass.count, pass.source, pass.target});
    if (largest > kCardMaxField) {
      return absl::InvalidArgumentError(absl::StrCat(
          "model \"", model.name, "\" has a size of ", largest, "; the card's format has room for ",
          kCardMaxField, ". Serve it with a CPU channel."));
    }
    if (pass.matrix) {
      out.rows += pass.rows;
      out.entry_beats += int64_t{pass.rows} * pass.entries;
    }
  }
  WritePackedModel(model, &out);
  return out;
}

std::vector<uint8_t> PackDescriptor(const CardModel& model, const std::vector<Lane>& lanes,
                                    const BatchAddresses& addresses) {
  std::vector<uint8_t> bytes(model.shape.descriptor_bytes());
  CardDescriptor descriptor;
  descriptor.at = addresses;
  descriptor.lanes = static_cast<uint32_t>(lanes.size());
  descriptor.frames = static_cast<uint32_t>(LongestLane(model, lanes));
  StoreToCard(descriptor, bytes.data());
  for (size_t lane = 0; lane < lanes.size(); ++lane) {
    const size_t frames = lanes[lane].frames.size() / model.inputs;
    StoreToCard(static_cast<uint16_t>(frames), bytes.data() + LaneFramesOffset(lane));
  }
  return bytes;
}

void PackInputs(const CardModel& model, const std::vector<Lane>& lanes, uint8_t* bytes) {
  // Transposes in stretches between the ends of lanes; a lane that has ended contributes zeros.
  std::vector<size_t> ends;
  for (const Lane& lane : lanes) ends.push_back(lane.frames.size());
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  size_t begin = 0;
  std::vector<int8_t> zeros;
  std::vector<const int8_t*> columns(lanes.size());
  for (const size_t end : ends) {
    if (begin > 0) zeros.resize(std::max(zeros.size(), end - begin));
    for (size_t lane = 0; lane < lanes.size(); ++lane) {
      const absl::Span<const int8_t> frames = lanes[lane].frames;
      columns[lane] = frames.size() >= end ? frames.data() + begin : zeros.data();
    }
    LanesToColumns<int8_t>(columns, static_cast<int>(end - begin), model.shape.lanes, 0,
                           reinterpret_cast<int8_t*>(bytes) + begin * model.shape.lanes);
    begin = end;
  }
}

std::vector<uint8_t> PackInputs(const CardModel& model, const std::vector<Lane>& lanes) {
  std::vector<uint8_t> bytes(model.input_bytes(LongestLane(model, lanes)));
  PackInputs(model, lanes, bytes.data());
  return bytes;
}

namespace {

// Calls visit(index of the first cell in StreamState::c, byte offset in the packed state, number of
// cells) for every stretch of a lane's cells that is contiguous in both.
template <typename Visit>
void VisitCells(const CardModel& model, size_t lane, Visit&& visit) {
  const int pes = model.shape.pes;
  const size_t beat = model.shape.beat_bytes();
  size_t index = 0;
  size_t offset = (size_t(model.y_columns) + lane) * beat;
  for (const int cells : model.layer_cells) {
    for (int cell = 0; cell < cells; cell += pes) {
      const int count = std::min(pes, cells - cell);
      visit(index, offset, size_t(count));
      index += count;
      offset += size_t(model.shape.lanes) * beat;
    }
  }
}

}  // namespace

void PackStates(const CardModel& model, const std::vector<Lane>& lanes, uint8_t* bytes) {
  std::vector<const int8_t*> y;
  for (const Lane& lane : lanes) y.push_back(lane.state_in->y.data());
  LanesToColumns<int8_t>(y, model.y_columns, model.shape.lanes, 0,
                         reinterpret_cast<int8_t*>(bytes));
  for (size_t lane = 0; lane < lanes.size(); ++lane) {
    const int16_t* const c = lanes[lane].state_in->c.data();
    VisitCells(model, lane, [&](size_t index, size_t offset, size_t count) {
      std::memcpy(bytes + offset, c + index, count * sizeof(int16_t));
    });
  }
}

std::vector<uint8_t> PackStates(const CardModel& model, const std::vector<Lane>& lanes) {
  std::vector<uint8_t> bytes(model.state_bytes());
  PackStates(model, lanes, bytes.data());
  return bytes;
}

void UnpackStates(const CardModel& model, const uint8_t* bytes, std::vector<Lane>* lanes) {
  std::vector<int8_t*> y;
  for (const Lane& lane : *lanes) y.push_back(lane.state_out->y.data());
  ColumnsToLanes<int8_t>(reinterpret_cast<const int8_t*>(bytes), model.y_columns, model.shape.lanes,
                         0, 0, y);
  for (size_t lane = 0; lane < lanes->size(); ++lane) {
    int16_t* const c = (*lanes)[lane].state_out->c.data();
    VisitCells(model, lane, [&](size_t index, size_t offset, size_t count) {
      std::memcpy(c + index, bytes + offset, count * sizeof(int16_t));
    });
  }
}

void UnpackLogits(const CardModel& model, const uint8_t* bytes, std::vector<Lane>* lanes) {
  const size_t pes = model.shape.pes, units = model.units;
  const size_t group =
      size_t(model.shape.lanes) * pes * sizeof(uint32_t);  // one round of one frame
  const CardPass& last = model.passes.back();
  const size_t whole = last.pieces > 1 ? last.first_row : units;  // units not split into pieces
  std::vector<uint32_t> sums(units - whole);
  for (size_t lane = 0; lane < lanes->size(); ++lane) {
    const uint8_t* from = bytes + lane * pes * sizeof(uint32_t);
    absl::Span<int32_t> logits = (*lanes)[lane].logits;
    for (size_t frame = 0; frame < logits.size(); frame += units) {
      int32_t* const to = logits.data() + frame;
      for (size_t unit = 0; unit < whole; unit += pes, from += group) {
        std::memcpy(to + unit, from, std::min(pes, whole - unit) * sizeof(int32_t));
      }
      if (whole == units) continue;
      std::fill(sums.begin(), sums.end(), 0);
      for (int piece = 0; piece < last.pieces; ++piece) {
        const uint8_t* sums_of_piece = from + size_t(piece) * sums.size() * sizeof(uint32_t);
        for (size_t k = 0; k < sums.size(); ++k) {
          sums[k] += LoadFromCard<uint32_t>(sums_of_piece + k * sizeof(uint32_t));
        }
      }
      std::memcpy(to + whole, sums.data(), sums.size() * sizeof(uint32_t));
      from += group;
    }
  }
}

uint64_t ResultChecksum(const CardModel& model, const std::vector<Lane>& lanes,
                        const uint8_t* state_out, const uint8_t* outputs) {
  const size_t beat = model.shape.beat_bytes();
  uint64_t sum = 0;
  for (int column = 0; column < model.y_columns; ++column, state_out += beat) {
    size_t lane = 0;
    for (; lane + 8 <= lanes.size(); lane += 8) sum += LoadFromCard<uint64_t>(state_out + lane);
    for (; lane < lanes.size(); ++lane) sum += uint64_t{state_out[lane]} << (8 * (lane % 8));
  }
  // Adds groups in which each lane has `lane_bytes` bytes.
  const auto add_groups = [&](const uint8_t* bytes, size_t groups, size_t lane_bytes) {
    for (size_t group = 0; group < groups; ++group, bytes += lane_bytes * model.shape.lanes) {
      for (size_t offset = 0; offset < lanes.size() * lane_bytes; offset += sizeof(uint64_t)) {
        sum += LoadFromCard<uint64_t>(bytes + offset);
      }
    }
  };
  add_groups(state_out, model.cells, beat);
  add_groups(outputs, size_t(LongestLane(model, lanes)) * Rounds(model.units, model.shape.pes),
             2 * beat);
  return sum;
}

}  // namespace ese
