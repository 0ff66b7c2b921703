#include "accel/emu/batch_interpreter.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "model/arithmetic.h"

namespace ese::emu {
namespace {

constexpr size_t kRecordBytes = 64;
constexpr uint32_t kMagic = 0x43455345;  // "ESEC"
constexpr uint32_t kVersion = 1;
// Of the descriptor, in bytes.
constexpr size_t kOutputsField = 32;
constexpr size_t kStatusField = 40;

template <typename T>
T Get(const uint8_t* bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes + offset, sizeof(T));
  return value;
}

struct Descriptor {
  BatchAddresses at;
  int lanes = 0;
  int frames = 0;
  std::vector<int> lane_frames;  // [lanes of the shape]
};

CardError ReadDescriptor(const CardShape& shape, const MemoryView& memory, uint64_t address,
                         Descriptor* out) {
  const uint8_t* bytes = memory(address, kRecordBytes + size_t(shape.lanes) * 2);
  if (bytes == nullptr) return CardError::kReadFailed;
  uint64_t* const fields[] = {&out->at.model,     &out->at.inputs,  &out->at.state_in,
                              &out->at.state_out, &out->at.outputs, &out->at.status};
  for (size_t k = 0; k < std::size(fields); ++k) *fields[k] = Get<uint64_t>(bytes, 8 * k);
  const bool aligned = std::all_of(std::begin(fields), std::end(fields),
                                   [](const uint64_t* field) { return *field % 64 == 0; });
  const auto lanes = Get<uint32_t>(bytes, 48), frames = Get<uint32_t>(bytes, 52);
  if (!aligned || lanes == 0 || lanes > uint32_t(shape.lanes) || frames == 0 || frames > 65535) {
    return CardError::kBadBatch;
  }
  out->lanes = static_cast<int>(lanes);
  out->frames = static_cast<int>(frames);
  for (int lane = 0; lane < shape.lanes; ++lane) {
    out->lane_frames.push_back(Get<uint16_t>(bytes, kRecordBytes + 2 * size_t(lane)));
  }
  return CardError::kNone;
}

CardError ReadModel(const CardShape& shape, const MemoryView& memory, uint64_t address,
                    CardModel* out) {
  const uint8_t* header = memory(address, kRecordBytes);
  if (header == nullptr) return CardError::kReadFailed;
  const auto word = [&](int k) { return Get<uint32_t>(header, size_t(k) * 4); };
  if (word(0) != kMagic) return CardError::kBadModel;
  if (word(1) != (kVersion | static_cast<uint32_t>(shape.pes) << 16)) return CardError::kOtherShape;
  const size_t passes = word(2);
  out->shape = shape;
  out->rows = static_cast<int>(word(3));
  out->entry_beats = word(4);
  out->inputs = static_cast<int>(word(5));
  out->y_columns = static_cast<int>(word(6));
  out->cells = static_cast<int>(word(7));
  const size_t size = kRecordBytes * (1 + passes) + size_t(out->rows) * shape.pes * 8 +
                      size_t(out->entry_beats) * shape.beat_bytes();
  const uint8_t* bytes = memory(address, size);
  if (bytes == nullptr) return CardError::kReadFailed;
  out->bytes.assign(bytes, bytes + size);
  for (size_t k = 1; k <= passes; ++k) {
    const uint8_t* record = bytes + k * kRecordBytes;
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
    if (pass.kind == PassKind::kOutput)
      out->units += pass.rows * shape.pes;  // of the memory's layout
    out->passes.push_back(pass);
  }
  return CardError::kNone;
}

// One batch in the array: columns of activations, c, and where the packed model is read next.
class Array {
 public:
  Array(const CardModel& model, const Descriptor& batch, int16_t* c)
      : model_(model),
        batch_(batch),
        lanes_(model.shape.lanes),
        pes_(model.shape.pes),
        v_(size_t(model.inputs + model.y_columns) * lanes_),
        c_(c) {
    int columns = 0;
    for (const CardPass& pass : model.passes) columns = std::max(columns, pass.count);
    m_.resize(size_t(columns) * lanes_);
  }

  int8_t* x() { return v_.data(); }
  int8_t* y() { return v_.data() + size_t(model_.inputs) * lanes_; }

  // False if the packed model reads or writes a column that is not there.
  bool Step(int frame, int32_t* logits) {
    rows_ = model_.bytes.data() + kRecordBytes * (1 + model_.passes.size());
    entries_ = rows_ + size_t(model_.rows) * pes_ * 8;
    frame_ = frame;
    int16_t* c = c_;
    for (const CardPass& pass : model_.passes) {
      if (pass.kind == PassKind::kCopy) {
        if (!Fits(v_, pass.target, pass.count) || !Fits(m_, 0, pass.count)) return false;
        for (int k = 0; k < pass.count; ++k) Keep(&m_[Column(k)], &v_[Column(pass.target + k)]);
        continue;
      }
      for (int j = 0; j < pass.rows; ++j) {
        for (int pe = 0; pe < pes_; ++pe) {
          if (!RowSum(pass, pe) || !Finish(pass, j, pe, c, logits)) return false;
        }
        entries_ += size_t(pass.entries) * pes_ * 2;
        rows_ += size_t(pes_) * 8;
      }
      if (pass.kind == PassKind::kGates) c += size_t(pass.rows / 4) * lanes_ * pes_;
      if (pass.kind == PassKind::kOutput) logits += size_t(pass.rows) * lanes_ * pes_;
    }
    return true;
  }

 private:
  size_t Column(int k) const { return size_t(k) * lanes_; }
  bool Fits(const std::vector<int8_t>& bank, int first, int count) const {
    return Column(first + count) <= bank.size();
  }
  bool Active(int lane) const { return frame_ < batch_.lane_frames[lane]; }
  // A lane whose frames are over keeps its columns.
  void Keep(const int8_t* from, int8_t* to) const {
    for (int lane = 0; lane < lanes_; ++lane) {
      if (Active(lane)) to[lane] = from[lane];
    }
  }

  // sum_ = the aligned sums of PE `pe` in the row at hand (7), before any peephole.
  bool RowSum(const CardPass& pass, int pe) {
    std::fill(std::begin(sum_), std::end(sum_), 0);
    const std::vector<int8_t>& bank = pass.kind == PassKind::kProjection ? m_ : v_;
    const int source = pass.kind == PassKind::kProjection ? 0 : pass.source;
    int column = -1;
    for (int k = 0; k < pass.entries; ++k) {
      const auto entry = Get<uint16_t>(entries_, (size_t(k) * pes_ + pe) * 2);
      column += EntryGap(entry) + 1;
      const int weight = EntryWeight(entry);
      if (weight == 0) continue;  // also a PE's without a row
      if (!Fits(bank, source + column, 1)) return false;
      const int8_t* values = bank.data() + Column(source + column);
      for (int lane = 0; lane < lanes_; ++lane) sum_[lane] += weight * values[lane];
    }
    const uint8_t* row = rows_ + size_t(pe) * 8;
    const auto bias = Get<int32_t>(row, 0);
    const int shift = Get<uint16_t>(row, 6);
    peephole_ = Peephole{Get<int16_t>(row, 4)};
    for (int lane = 0; lane < lanes_; ++lane) {
      const uint32_t shifted = static_cast<uint32_t>(sum_[lane]) << (shift & 31);
      sum_[lane] = static_cast<int32_t>(shifted + static_cast<uint32_t>(bias));
    }
    return true;
  }

  bool Finish(const CardPass& pass, int j, int pe, int16_t* c, int32_t* logits) {
    if (pass.kind == PassKind::kGates) return FinishGate(pass, j, pe, c);
    if (pass.kind == PassKind::kOutput) {
      for (int lane = 0; lane < lanes_; ++lane) {
        logits[(size_t(j) * lanes_ + lane) * pes_ + pe] = sum_[lane];
      }
      return true;
    }
    const int row = j * pes_ + pe;
    if (row >= pass.count) return true;
    if (!Fits(v_, pass.target + row, 1)) return false;
    int8_t y[kMaxLanes];
    const int fraction_bits = Accumulator::kFractionBits - pass.shift;
    for (int lane = 0; lane < lanes_; ++lane) y[lane] = ToProjected({sum_[lane]}, fraction_bits);
    Keep(y, &v_[Column(pass.target + row)]);
    return true;
  }

  bool FinishGate(const CardPass& pass, int j, int pe, int16_t* c) {
    const int gate = j % 4, cell = j / 4 * pes_ + pe;
    if (cell >= pass.count) return true;
    for (int lane = 0; lane < lanes_; ++lane) {
      if (!Active(lane)) continue;
      int16_t& state = c[(size_t(j / 4) * lanes_ + lane) * pes_ + pe];
      Gate* const gates = gates_[pe * kMaxLanes + lane].data();
      const auto with_peephole = [&](Cell at) {
        return ToPreActivation({sum_[lane] + PeepholeTerm(peephole_, at)});
      };
      if (gate == 2) {
        const PreActivation z = ToPreActivation({sum_[lane]});
        gates[2] = pass.g_sigmoid ? Sigmoid(z) : Tanh(ToTanhInput(z));
        state = UpdateCell(gates[1], Cell{state}, gates[0], gates[2]).raw;
      } else if (gate == 3) {
        const Cell after{state};
        const Gate o = Sigmoid(with_peephole(after));
        m_[Column(cell) + lane] = ToHidden(o, Tanh(ToTanhInput(after)), 15 - pass.shift);
      } else {
        gates[gate] = Sigmoid(with_peephole(Cell{state}));
      }
    }
    return true;
  }

  static constexpr int kMaxLanes = 64;
  static constexpr int kMaxPes = 32;

  const CardModel& model_;
  const Descriptor& batch_;
  const int lanes_, pes_;
  std::vector<int8_t> v_, m_;  // [column][lane]
  int16_t* const c_;           // [cell of a PE][lane][PE]
  int frame_ = 0;
  const uint8_t* rows_ = nullptr;
  const uint8_t* entries_ = nullptr;
  Peephole peephole_;
  int32_t sum_[kMaxLanes] = {};
  std::vector<std::array<Gate, 3>> gates_ =
      std::vector<std::array<Gate, 3>>(size_t(kMaxPes) * kMaxLanes);
};

// The lanes as ResultChecksum looks at them.
std::vector<Lane> LanesOf(const CardModel& model, const Descriptor& batch, const uint8_t* inputs) {
  std::vector<Lane> lanes(batch.lanes);
  for (int lane = 0; lane < batch.lanes; ++lane) {
    lanes[lane].frames = absl::MakeConstSpan(reinterpret_cast<const int8_t*>(inputs),
                                             size_t(batch.lane_frames[lane]) * model.inputs);
  }
  return lanes;
}

CardError Compute(const CardModel& model, const Descriptor& batch, const MemoryView& memory,
                  BatchStatus* status) {
  const uint8_t* inputs = memory(batch.at.inputs, model.input_bytes(batch.frames));
  const uint8_t* state_in = memory(batch.at.state_in, model.state_bytes());
  if (inputs == nullptr || state_in == nullptr) return CardError::kReadFailed;
  uint8_t* state_out = memory(batch.at.state_out, model.state_bytes());
  uint8_t* outputs = memory(batch.at.outputs, model.output_bytes(batch.frames));
  if (state_out == nullptr || outputs == nullptr) return CardError::kWriteFailed;

  const size_t y_bytes = size_t(model.y_columns) * model.shape.lanes;
  std::memcpy(state_out, state_in, model.state_bytes());
  Array array(model, batch, reinterpret_cast<int16_t*>(state_out + y_bytes));
  std::memcpy(array.y(), state_in, y_bytes);
  const size_t input_beat = model.input_bytes(1), output_beat = model.output_bytes(1);
  for (int t = 0; t < batch.frames; ++t) {
    std::memcpy(array.x(), inputs + size_t(t) * input_beat, input_beat);
    if (!array.Step(t, reinterpret_cast<int32_t*>(outputs + size_t(t) * output_beat))) {
      return CardError::kBadModel;
    }
  }
  std::memcpy(state_out, array.y(), y_bytes);
  status->working = static_cast<uint64_t>(batch.frames) * model.entry_beats;
  status->checksum = ResultChecksum(model, LanesOf(model, batch, inputs), state_out, outputs);
  return CardError::kNone;
}

bool LeavesStatus(CardError error) {
  return error == CardError::kNone ||
         (error >= CardError::kBadModel && error <= CardError::kBadPass);
}

bool WriteStatus(const MemoryView& memory, uint64_t address, const BatchStatus& status) {
  uint8_t* record = memory(address, kRecordBytes);
  if (record == nullptr) return false;
  std::memset(record, 0, kRecordBytes);
  std::memcpy(record, &status, sizeof(status));
  return true;
}

}  // namespace

CardError RunBatch(const CardShape& shape, const MemoryView& memory, uint64_t descriptor,
                   const std::function<int64_t(const CardModel&, int lanes, int frames)>& cycles) {
  Descriptor batch;
  CardError error = ReadDescriptor(shape, memory, descriptor, &batch);
  if (error != CardError::kNone) return error;
  CardModel model;
  BatchStatus status;
  error = ReadModel(shape, memory, batch.at.model, &model);
  if (error == CardError::kNone) error = Compute(model, batch, memory, &status);
  if (!LeavesStatus(error)) return error;
  if (error == CardError::kNone) status.cycles = cycles(model, batch.lanes, batch.frames);
  status.error = static_cast<uint32_t>(error);
  return WriteStatus(memory, batch.at.status, status) ? error : CardError::kWriteFailed;
}

void EndWithError(const MemoryView& memory, uint64_t descriptor, CardError error) {
  const uint8_t* bytes = memory(descriptor, kRecordBytes);
  if (bytes == nullptr || !LeavesStatus(error)) return;
  BatchStatus status;
  status.error = static_cast<uint32_t>(error);
  WriteStatus(memory, Get<uint64_t>(bytes, kStatusField), status);
}

void FlipABit(const MemoryView& memory, uint64_t descriptor) {
  const uint8_t* bytes = memory(descriptor, kRecordBytes);
  if (bytes == nullptr) return;
  if (uint8_t* byte = memory(Get<uint64_t>(bytes, kOutputsField), 1)) *byte ^= 1;
}

}  // namespace ese::emu
