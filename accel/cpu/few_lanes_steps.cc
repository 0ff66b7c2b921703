#include "accel/cpu/few_lanes_steps.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ese {
namespace {

size_t RoundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

// Between signed and unsigned activations.
template <typename From, typename To>
void CopyFlipped(const From* from, int n, To* to) {
  for (int i = 0; i < n; ++i) to[i] = static_cast<To>(from[i] ^ 0x80);
}

}  // namespace

FewLanesSteps::FewLanesSteps(std::shared_ptr<const PackedModel> model, const FewLanesKernel* kernel)
    : model_(std::move(model)), kernel_(kernel) {
  for (const PackedLayer& layer : model_->layers()) {
    LayerMemory memory;
    // A tile may begin at x or at y and reach past the end.
    memory.v_stride = RoundUp(layer.inputs + layer.outputs + kTileColumns, kCacheLineBytes);
    memory.c_stride = RoundUp(layer.cells, kCacheLineBytes / sizeof(int16_t));
    memory.v = AlignedBuffer<uint8_t>(memory.v_stride * kGroup);
    memory.c = AlignedBuffer<int16_t>(memory.c_stride * kGroup);
    layers_.push_back(std::move(memory));
    m_stride_ = std::max(m_stride_, RoundUp(layer.cells, kTileColumns));
  }
  logits_stride_ = RoundUp(model_->model().num_units(), kStripRows);
  m_ = AlignedBuffer<uint8_t>(m_stride_ * kGroup);
  logits_ = AlignedBuffer<int32_t>(logits_stride_ * kGroup);
}

void FewLanesSteps::Run(const Segment& segment) {
  for (size_t first = 0; first < segment.lanes.size(); first += kGroup) {
    Segment group = segment;
    group.lanes = segment.lanes.subspan(first, kGroup);
    RunGroup(group);
  }
}

void FewLanesSteps::RunGroup(const Segment& segment) {
  const int input_dim = model_->model().input_dim();
  const int units = model_->model().num_units();
  int active = static_cast<int>(segment.lanes.size());
  for (int lane = 0; lane < active; ++lane) LoadState(segment.StateBefore(lane), lane);
  for (int step = segment.first_step; active > 0; ++step) {
    for (int lane = 0; lane < active; ++lane) {
      CopyFlipped(segment.lanes[lane]->frames.data() + size_t(step) * input_dim, input_dim,
                  Input(0, lane));
    }
    Step(active);
    for (int lane = 0; lane < active; ++lane) {
      std::copy_n(logits_.data() + lane * logits_stride_, units,
                  segment.lanes[lane]->logits.data() + size_t(step) * units);
    }
    const int remaining = step + 1 == segment.end_step ? 0 : segment.ActiveAt(step + 1, input_dim);
    for (int lane = remaining; lane < active; ++lane) {
      StoreState(lane, segment.lanes[lane]->state_out);
    }
    active = remaining;
  }
}

uint8_t* FewLanesSteps::Input(size_t layer, int lane) {
  return layers_[layer].v.data() + lane * layers_[layer].v_stride;
}

uint8_t* FewLanesSteps::Output(size_t layer, int lane) {
  return Input(layer, lane) + model_->layers()[layer].inputs;
}

void FewLanesSteps::LoadState(const StreamState& state, int lane) {
  const int16_t* c = state.c.data();
  const int8_t* y = state.y.data();
  for (size_t l = 0; l < layers_.size(); ++l) {
    const PackedLayer& layer = model_->layers()[l];
    std::copy_n(c, layer.cells, layers_[l].c.data() + lane * layers_[l].c_stride);
    CopyFlipped(y, layer.outputs, Output(l, lane));
    c += layer.cells;
    y += layer.outputs;
  }
}

void FewLanesSteps::StoreState(int lane, StreamState* state) {
  int16_t* c = state->c.data();
  int8_t* y = state->y.data();
  for (size_t l = 0; l < layers_.size(); ++l) {
    const PackedLayer& layer = model_->layers()[l];
    std::copy_n(layers_[l].c.data() + lane * layers_[l].c_stride, layer.cells, c);
    CopyFlipped(Output(l, lane), layer.outputs, y);
    c += layer.cells;
    y += layer.outputs;
  }
}

void FewLanesSteps::Step(int lanes) {
  const std::vector<PackedLayer>& layers = model_->layers();
  const LaneArrays<const uint8_t> m{m_.data(), m_stride_};
  for (size_t l = 0; l < layers.size(); ++l) {
    const PackedLayer& layer = layers[l];
    LayerMemory& memory = layers_[l];
    kernel_->Cells(layer, lanes, {memory.v.data(), memory.v_stride},
                   {memory.c.data(), memory.c_stride}, {m_.data(), m_stride_});
    if (layer.has_projection) {
      kernel_->Project(layer.few_projection, layer.projection_shift, lanes, m,
                       {Output(l, 0), memory.v_stride});
    }
    for (int lane = 0; lane < lanes; ++lane) {
      if (!layer.has_projection) {
        std::memcpy(Output(l, lane), m_.data() + lane * m_stride_, layer.outputs);  // y = m
      }
      if (l + 1 < layers.size()) std::memcpy(Input(l + 1, lane), Output(l, lane), layer.outputs);
    }
  }
  const size_t last = layers.size() - 1;
  kernel_->Logits(model_->few_output(), lanes, {Output(last, 0), layers_[last].v_stride},
                  {logits_.data(), logits_stride_});
}

}  // namespace ese
