// SPDX-License-Identifier: Apache-2.0
// Random batches, and what the reference makes of them, for tests of the card.
#pragma once

#include <cstdint>
#include <vector>

#include "accel/backend.h"
#include "model/model.h"
#include "model/testing.h"

namespace ese {

// A batch of random inputs and states with owned buffers.
struct OwnedBatch {
  std::vector<std::vector<int8_t>> frames;
  std::vector<StreamState> states_in, states_out;
  std::vector<std::vector<int32_t>> logits;
  std::vector<Lane> lanes;
};
// A model of one to three layers that fits a kernel of 8 PEs as it is built for tests.
RandomModelOptions RandomCardModel(uint32_t seed);
// One lane for each number of frames.
OwnedBatch RandomBatch(const Model& model, const std::vector<int>& frames, uint32_t seed);
// The same batch by ReferenceStep.
void RunReference(const Model& model, OwnedBatch* batch);

}  // namespace ese
