// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/columns_runner.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "accel/transpose.h"

namespace ese {
namespace {

// Turns signed activations into unsigned ones and back.
constexpr auto kFlip = static_cast<int8_t>(-128);

// Kernels write rows of results four at a time.
int PaddedRows(int rows) { return (rows + kBlockRows - 1) / kBlockRows * kBlockRows; }

int8_t* Signed(uint8_t* p) { return reinterpret_cast<int8_t*>(p); }

}  // namespace

ColumnsRunner::ColumnsRunner(std::shared_ptr<const PackedModel> model, const Kernel* kernel)
    : model_(std::move(model)), kernel_(kernel) {
  int cells = 0;
  for (const PackedLayer& layer : model_->layers()) {
    LayerMemory memory;
    const int columns = layer.inputs + PaddedRows(layer.outputs);
    memory.v = AlignedBuffer<uint8_t>(size_t(columns) * kMaxLanes);
    memory.c = AlignedBuffer<int16_t>(size_t(layer.cells) * kMaxLanes);
    layers_.push_back(std::move(memory));
    cells = std::max(cells, layer.cells);
  }
  m_ = AlignedBuffer<uint8_t>(size_t(cells) * kMaxLanes);
  logits_ = AlignedBuffer<int32_t>(size_t(PaddedRows(model_->model().num_units())) * kMaxLanes);
}

void ColumnsRunner::Run(const Segment& segment) {
  const int input_columns = model_->model().input_columns();
  int active = static_cast<int>(segment.lanes.size());
  width_ = WidthFor(active);
  LoadStates(segment);
  for (int step = segment.first_step; step < segment.end_step; ++step) {
    LoadFrames(segment, step, active);
    Step();
    StoreLogits(segment, step, active);
    // Lanes that end here store their states now. What the vectors compute for them afterwards is
    // not read.
    const int remaining =
        step + 1 == segment.end_step ? 0 : segment.ActiveAt(step + 1, input_columns);
    if (remaining < active) StoreStates(segment, remaining, active);
    active = remaining;
  }
}

uint8_t* ColumnsRunner::Output(size_t layer) {
  return layers_[layer].v.data() + size_t(model_->layers()[layer].inputs) * width_;
}

void ColumnsRunner::LoadStates(const Segment& segment) {
  size_t cells = 0, outputs = 0;
  for (size_t l = 0; l < layers_.size(); ++l) {
    const PackedLayer& layer = model_->layers()[l];
    words_in_.clear();
    bytes_in_.clear();
    for (size_t lane = 0; lane < segment.lanes.size(); ++lane) {
      const StreamState& state = segment.StateBefore(lane);
      words_in_.push_back(state.c.data() + cells);
      bytes_in_.push_back(state.y.data() + outputs);
    }
    LanesToColumns<int16_t>(words_in_, layer.cells, width_, 0, layers_[l].c.data());
    LanesToColumns<int8_t>(bytes_in_, layer.outputs, width_, kFlip, Signed(Output(l)));
    cells += layer.cells;
    outputs += layer.outputs;
  }
}

void ColumnsRunner::StoreStates(const Segment& segment, int first, int end) {
  size_t cells = 0, outputs = 0;
  for (size_t l = 0; l < layers_.size(); ++l) {
    const PackedLayer& layer = model_->layers()[l];
    words_out_.clear();
    bytes_out_.clear();
    for (int lane = first; lane < end; ++lane) {
      words_out_.push_back(segment.lanes[lane]->state_out->c.data() + cells);
      bytes_out_.push_back(segment.lanes[lane]->state_out->y.data() + outputs);
    }
    ColumnsToLanes<int16_t>(layers_[l].c.data(), layer.cells, width_, 0, first,
                            absl::MakeSpan(words_out_));
    ColumnsToLanes<int8_t>(Signed(Output(l)), layer.outputs, width_, kFlip, first,
                           absl::MakeSpan(bytes_out_));
    cells += layer.cells;
    outputs += layer.outputs;
  }
}

void ColumnsRunner::LoadFrames(const Segment& segment, int step, int active) {
  const int input_columns = model_->model().input_columns();
  bytes_in_.clear();
  for (int lane = 0; lane < active; ++lane) {
    bytes_in_.push_back(segment.lanes[lane]->frames.data() + size_t(step) * input_columns);
  }
  LanesToColumns<int8_t>(bytes_in_, input_columns, width_, kFlip, Signed(layers_[0].v.data()));
}

void ColumnsRunner::StoreLogits(const Segment& segment, int step, int active) {
  const int units = model_->model().num_units();
  logits_out_.clear();
  for (int lane = 0; lane < active; ++lane) {
    logits_out_.push_back(segment.lanes[lane]->logits.data() + size_t(step) * units);
  }
  ColumnsToLanes<int32_t>(logits_.data(), units, width_, 0, 0, absl::MakeSpan(logits_out_));
}

void ColumnsRunner::Step() {
  const std::vector<PackedLayer>& layers = model_->layers();
  for (size_t l = 0; l < layers.size(); ++l) {
    const PackedLayer& layer = layers[l];
    const size_t output_bytes = size_t(layer.outputs) * width_;
    kernel_->Cells(layer, width_, layers_[l].v.data(), layers_[l].c.data(), m_.data());
    if (layer.has_projection) {
      kernel_->Project(layer.projection, layer.projection_shift, width_, m_.data(), Output(l));
    } else {
      std::memcpy(Output(l), m_.data(), output_bytes);  // y = m
    }
    if (l + 1 < layers.size()) std::memcpy(layers_[l + 1].v.data(), Output(l), output_bytes);
  }
  kernel_->Logits(model_->output(), width_, Output(layers.size() - 1), logits_.data());
}

}  // namespace ese
