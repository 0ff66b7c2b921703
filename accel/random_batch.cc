// SPDX-License-Identifier: Apache-2.0
#include "accel/random_batch.h"

#include <random>

#include "model/reference.h"

namespace ese {

RandomModelOptions RandomCardModel(uint32_t seed) {
  std::mt19937 random(seed);
  const auto between = [&](int low, int high) {
    return low + static_cast<int>(random() % uint32_t(high - low + 1));
  };
  RandomModelOptions options;
  options.inputs = between(4, 60);
  options.layers.resize(between(1, 3));
  for (RandomLayer& layer : options.layers) {
    layer.cells = between(8, 80);
    layer.projection = between(0, 2) == 0 ? 0 : between(4, 48);
    layer.peepholes = between(0, 1) == 1;
  }
  options.units = between(2, 40);
  options.density = between(10, 100) / 100.0;
  options.seed = seed;
  return options;
}

OwnedBatch RandomBatch(const Model& model, const std::vector<int>& frames, uint32_t seed) {
  std::mt19937 random(seed);
  OwnedBatch batch;
  for (const int count : frames) {
    auto& x = batch.frames.emplace_back(size_t(count) * model.input_columns());
    for (int8_t& value : x) value = static_cast<int8_t>(random());
    auto& state = batch.states_in.emplace_back(model);
    for (int16_t& value : state.c) value = static_cast<int16_t>(random());
    for (int8_t& value : state.y) value = static_cast<int8_t>(random());
    batch.states_out.emplace_back(model);
    batch.logits.emplace_back(size_t(count) * model.num_units());
  }
  for (size_t k = 0; k < frames.size(); ++k) {
    batch.lanes.push_back({.frames = batch.frames[k],
                           .state_in = &batch.states_in[k],
                           .state_out = &batch.states_out[k],
                           .logits = absl::MakeSpan(batch.logits[k])});
  }
  return batch;
}

void RunReference(const Model& model, OwnedBatch* batch) {
  for (Lane& lane : batch->lanes) {
    *lane.state_out = *lane.state_in;
    const size_t inputs = model.input_columns(), frames = lane.frames.size() / inputs;
    for (size_t t = 0; t < frames; ++t) {
      ReferenceStep(model, lane.frames.data() + t * inputs, lane.state_out,
                    lane.logits.data() + t * model.num_units());
    }
  }
}

}  // namespace ese
