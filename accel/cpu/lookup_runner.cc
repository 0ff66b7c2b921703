// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/lookup_runner.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

namespace ese {
namespace {

size_t VectorBytes(const LookupVector& vector) {
  return size_t(vector.lines) * kLookupLanes * kLineColumns;
}

// Stores both copies of a granule.
void StoreGranule(const uint32_t (&offsets)[2], const void* granule, uint8_t* lane) {
  for (const uint32_t offset : offsets) std::memcpy(lane + offset, granule, kGranule);
}

// Turns a granule of signed activations into unsigned ones, or back.
uint64_t Flipped(uint64_t granule) { return granule ^ 0x8080808080808080; }
static_assert(sizeof(uint64_t) == kGranule);

// Stores n signed values as unsigned activations from granule g on.
void StoreValues(const LookupVector& layout, uint8_t* vector, unsigned g, int lane,
                 const int8_t* values, int n) {
  vector += lane * kLineColumns;
  const auto* offsets = layout.offsets + g;
  const auto store = [&](uint64_t granule) {
    granule = Flipped(granule);
    StoreGranule(*offsets++, &granule, vector);
  };
  uint64_t granule = 0;
  int i = 0;
  for (; i + kGranule <= n; i += kGranule) {
    std::memcpy(&granule, values + i, kGranule);
    store(granule);
  }
  if (i == n) return;
  std::memcpy(&granule, values + i, n - i);
  store(granule);
}

// Loads n values from granule 0 on and makes them signed again.
void LoadValues(const LookupVector& layout, const uint8_t* vector, int lane, int8_t* values,
                int n) {
  vector += lane * kLineColumns;
  const auto* offsets = layout.offsets;
  for (int i = 0; i < n; i += kGranule) {
    uint64_t granule;
    std::memcpy(&granule, vector + (*offsets++)[0], kGranule);
    granule = Flipped(granule);
    std::memcpy(values + i, &granule, std::min(kGranule, n - i));
  }
}

// Copies `values` values from granule 0 of one vector to granule `to_granule` on of another.
void CopyGranules(const LookupVector& from_layout, const uint8_t* from, const LookupVector& layout,
                  uint8_t* to, int to_granule, int values, int lanes) {
  for (int i = 0; i * kGranule < values; ++i) {
    const uint8_t* granule = from + from_layout.offsets[i][0];
    for (int lane = 0; lane < lanes; ++lane, granule += kLineColumns) {
      StoreGranule(layout.offsets[to_granule + i], granule, to + lane * kLineColumns);
    }
  }
}

// Calls move(in_vector, in_state, n) for each four cells of a lane (n is fewer than 4 at the end):
// where they are in the group's cells c, and where they are in the stream's state.
template <typename State, typename Move>
void ForFours(int16_t* c, int lane, State* state, int cells, Move move) {
  constexpr int kPair = 2 * kStripRows;  // cells of a block of 16 for a pair of lanes
  c += lane / 2 * kPair + lane % 2 * 4;
  for (; cells >= kStripRows; cells -= kStripRows) {
    for (int four = 0; four < kStripRows / 4; ++four) move(c + 8 * four, state + 4 * four, 4);
    c += kLookupLanes / 2 * kPair;
    state += kStripRows;
  }
  for (; cells > 0; cells -= 4) {
    move(c, state, std::min(4, cells));
    c += 8;
    state += 4;
  }
}

// Part i of n of a matrix; each part has a multiple of `multiple` strips.
LookupMatrix PartOf(const LookupMatrix& matrix, int multiple, int i, int n) {
  const int units = matrix.strips / multiple;
  const int first = units * i / n * multiple, end = units * (i + 1) / n * multiple;
  const size_t tiles = std::accumulate(matrix.tile_counts, matrix.tile_counts + first, size_t{0});
  LookupMatrix part = matrix;
  part.first_strip = first;
  part.strips = end - first;
  part.tile_counts += first;
  part.coarse_counts += first;
  part.right_only += first;
  part.constants += first;
  part.tiles += tiles;
  part.lines += tiles;
  return part;
}

}  // namespace

LookupRunner::LookupRunner(std::shared_ptr<const PackedModel> model, const LookupKernel* kernel,
                           ThreadTeam* team)
    : model_(std::move(model)), kernel_(kernel), team_(team) {
  for (int part = 0; part < team_->threads(); ++part) parts_.push_back(MakePart(part));
  size_t m_bytes = 0;
  for (const PackedLayer& layer : model_->layers()) {
    LayerMemory memory;
    memory.v = AlignedBuffer<uint8_t>(VectorBytes(layer.lookup_v));
    memory.c = AlignedBuffer<int16_t>(RoundUp(layer.cells, kStripRows) * kLookupLanes);
    layers_.push_back(std::move(memory));
    m_bytes = std::max(m_bytes, VectorBytes(layer.lookup_m));
  }
  m_ = AlignedBuffer<uint8_t>(m_bytes);
  logits_stride_ = RoundUp(model_->model().num_units(), kStripRows);
  logits_ = AlignedBuffer<int32_t>(logits_stride_ * kLookupLanes);
}

LookupRunner::Part LookupRunner::MakePart(int part) const {
  constexpr int kGates = 4;
  const int parts = team_->threads();
  Part made{.layers = model_->layers(), .output = PartOf(model_->lookup_output(), 1, part, parts)};
  for (PackedLayer& layer : made.layers) {
    layer.lookup_gates = PartOf(layer.lookup_gates, kGates, part, parts);
    layer.lookup_projection = PartOf(layer.lookup_projection, 1, part, parts);
  }
  return made;
}

void LookupRunner::Run(const Segment& segment) {
  const int lanes = static_cast<int>(segment.lanes.size());
  for (int i = 0; i < GroupsFor(lanes); ++i) {
    Segment group = segment;
    group.lanes = segment.lanes.subspan(GroupBegin(lanes, i), GroupSize(lanes, i));
    RunGroup(group);
  }
}

void LookupRunner::RunGroup(const Segment& segment) {
  const int input_columns = model_->model().input_columns();
  const int units = model_->model().num_units();
  int active = static_cast<int>(segment.lanes.size());
  for (int lane = 0; lane < active; ++lane) LoadState(segment.StateBefore(lane), lane);
  for (int step = segment.first_step; active > 0; ++step) {
    for (int lane = 0; lane < active; ++lane) {
      LoadFrame(segment.lanes[lane]->frames.data() + size_t(step) * input_columns, lane);
    }
    team_->Run([&](int part) { Step(active, part); });
    for (int lane = 0; lane < active; ++lane) {
      std::copy_n(logits_.data() + lane * logits_stride_, units,
                  segment.lanes[lane]->logits.data() + size_t(step) * units);
    }
    const int remaining =
        step + 1 == segment.end_step ? 0 : segment.ActiveAt(step + 1, input_columns);
    for (int lane = remaining; lane < active; ++lane) {
      StoreState(lane, segment.lanes[lane]->state_out);
    }
    active = remaining;
  }
}

void LookupRunner::LoadFrame(const int8_t* x, int lane) {
  StoreValues(model_->layers()[0].lookup_v, layers_[0].v.data(), model_->layers()[0].lookup_x, lane,
              x, model_->model().input_columns());
}

void LookupRunner::LoadState(const StreamState& state, int lane) {
  const int16_t* c = state.c.data();
  const int8_t* y = state.y.data();
  for (size_t l = 0; l < layers_.size(); ++l) {
    const PackedLayer& layer = model_->layers()[l];
    ForFours(layers_[l].c.data(), lane, c, layer.cells,
             [](int16_t* four, const int16_t* from, int n) { std::copy_n(from, n, four); });
    StoreValues(layer.lookup_v, layers_[l].v.data(), 0, lane, y, layer.outputs);
    c += layer.cells;
    y += layer.outputs;
  }
}

void LookupRunner::StoreState(int lane, StreamState* state) {
  int16_t* c = state->c.data();
  int8_t* y = state->y.data();
  for (size_t l = 0; l < layers_.size(); ++l) {
    const PackedLayer& layer = model_->layers()[l];
    ForFours(layers_[l].c.data(), lane, c, layer.cells,
             [](const int16_t* four, int16_t* to, int n) { std::copy_n(four, n, to); });
    LoadValues(layer.lookup_v, layers_[l].v.data(), lane, y, layer.outputs);
    c += layer.cells;
    y += layer.outputs;
  }
}

void LookupRunner::Step(int lanes, int part) {
  const std::vector<PackedLayer>& layers = parts_[part].layers;
  for (size_t l = 0; l < layers.size(); ++l) {
    const PackedLayer& layer = layers[l];
    const bool last = l + 1 == layers.size();
    uint8_t* v = layers_[l].v.data();
    kernel_->Cells(layer, lanes, v, layers_[l].c.data(), m_.data());
    team_->Meet();
    if (layer.has_projection) {
      kernel_->Project(layer, lanes, m_.data(), v);
      team_->Meet();
    }
    if (layer.has_projection && last) continue;
    if (part == 0) {
      if (!layer.has_projection) {  // y = m
        CopyGranules(layer.lookup_m, m_.data(), layer.lookup_v, v, 0, layer.outputs, lanes);
      }
      if (!last) {
        CopyGranules(layer.lookup_v, v, layers[l + 1].lookup_v, layers_[l + 1].v.data(),
                     layers[l + 1].lookup_x, layer.outputs, lanes);
      }
    }
    team_->Meet();
  }
  kernel_->Logits(parts_[part].output, lanes, layers_.back().v.data(), logits_.data(),
                  logits_stride_);
}

}  // namespace ese
