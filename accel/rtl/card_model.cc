#include "accel/rtl/card_model.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "accel/cpu/transpose.h"
#include "accel/rtl/output_split.h"
#include "model/fixed_point.h"

namespace ese {
namespace {

constexpr int kRecordBytes = 64;
constexpr uint32_t kMagic = 0x43455345;  // "ESEC"
constexpr uint32_t kVersion = 2;
constexpr int kMaxField = 65535;

int Rounds(int rows, int pes) { return (rows + pes - 1) / pes; }

template <typename T>
void Put(std::vector<uint8_t>* bytes, size_t offset, T value) {
  std::memcpy(bytes->data() + offset, &value, sizeof(T));
}

template <typename T>
T Get(const uint8_t* bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes + offset, sizeof(T));
  return value;
}

// Appends records, rows and entries.
class Writer {
 public:
  Writer(const Model& model, CardModel* out) : model_(model), out_(*out) {}

  void Write() {
    const auto passes = static_cast<uint32_t>(out_.passes.size());
    Record({kMagic, kVersion | static_cast<uint32_t>(out_.shape.pes) << 16, passes,
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
    size_t offset = Grow(kRecordBytes);
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

// A matrix that keeps no entry at all still has rows: of one zero.
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
  CardPass gates = MatrixPass(PassKind::kGates, layer.gates, 4 * cell_rounds, layer.cells);
  gates.g_sigmoid = layer.g_activation == GActivation::kSigmoid;
  gates.shift = 15 - layer.hidden_fraction_bits;
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
  CardModel out;
  out.shape = shape;
  out.inputs = model.input_dim();
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
    if (largest > kMaxField) {
      return absl::InvalidArgumentError(absl::StrCat("model \"", model.name, "\" has a size of ",
                                                     largest, "; the card's format has room for ",
                                                     kMaxField, ". Serve it with a CPU channel."));
    }
    if (pass.matrix) {
      out.rows += pass.rows;
      out.entry_beats += int64_t{pass.rows} * pass.entries;
    }
  }
  Writer(model, &out).Write();
  return out;
}

std::vector<uint8_t> PackDescriptor(const CardModel& model, const std::vector<Lane>& lanes,
                                    const BatchAddresses& addresses) {
  std::vector<uint8_t> bytes(kRecordBytes + size_t(model.shape.lanes) * 2);
  const uint64_t fields[] = {addresses.model,     addresses.inputs,  addresses.state_in,
                             addresses.state_out, addresses.outputs, addresses.status};
  for (size_t k = 0; k < std::size(fields); ++k) Put(&bytes, 8 * k, fields[k]);
  for (size_t lane = 0; lane < lanes.size(); ++lane) {
    const size_t frames = lanes[lane].frames.size() / model.inputs;
    Put(&bytes, kRecordBytes + 2 * lane, static_cast<uint16_t>(frames));
  }
  Put(&bytes, 48, static_cast<uint32_t>(lanes.size()));
  Put(&bytes, 52, static_cast<uint32_t>(LongestLane(model, lanes)));
  return bytes;
}

void PackInputs(const CardModel& model, const std::vector<Lane>& lanes, uint8_t* bytes) {
  // Stretches in which the same lanes go on; of the others, zeros.
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

// Calls visit(index of the first in StreamState, byte offset in the packed state, cells) for all
// stretches of a lane's cells that lie together in both.
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
  const size_t group = size_t(model.shape.lanes) * pes * sizeof(uint32_t);  // a round of a frame
  const CardPass& last = model.passes.back();
  const size_t whole = last.pieces > 1 ? last.first_row : units;  // before those in pieces
  for (size_t lane = 0; lane < lanes->size(); ++lane) {
    const uint8_t* from = bytes + lane * pes * sizeof(uint32_t);
    absl::Span<int32_t> logits = (*lanes)[lane].logits;
    for (size_t frame = 0; frame < logits.size(); frame += units) {
      int32_t* const to = logits.data() + frame;
      for (size_t unit = 0; unit < whole; unit += pes, from += group) {
        std::memcpy(to + unit, from, std::min(pes, whole - unit) * sizeof(int32_t));
      }
      if (whole == units) continue;
      for (size_t k = 0; k < size_t(last.count); ++k) {
        uint32_t logit = 0;
        for (int piece = 0; piece < last.pieces; ++piece) {
          logit += Get<uint32_t>(from, (k + size_t(piece) * last.count) * sizeof(uint32_t));
        }
        to[whole + k] = static_cast<int32_t>(logit);
      }
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
    for (; lane + 8 <= lanes.size(); lane += 8) sum += Get<uint64_t>(state_out, lane);
    for (; lane < lanes.size(); ++lane) sum += uint64_t{state_out[lane]} << (8 * (lane % 8));
  }
  // Groups of a beat or two for each lane.
  const auto add_groups = [&](const uint8_t* bytes, size_t groups, size_t lane_bytes) {
    for (size_t group = 0; group < groups; ++group, bytes += lane_bytes * model.shape.lanes) {
      for (size_t offset = 0; offset < lanes.size() * lane_bytes; offset += sizeof(uint64_t)) {
        sum += Get<uint64_t>(bytes, offset);
      }
    }
  };
  add_groups(state_out, model.cells, beat);
  add_groups(outputs, size_t(LongestLane(model, lanes)) * Rounds(model.units, model.shape.pes),
             2 * beat);
  return sum;
}

}  // namespace ese
