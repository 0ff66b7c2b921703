// SPDX-License-Identifier: Apache-2.0
// Random batches and their results by the reference, for tests of the card.
#pragma once

#include <cstdint>
#include <vector>

#include "accel/backend.h"
#include "model/model.h"
#include "model/testing.h"

namespace ese {

// A batch of random inputs and states that owns its buffers.
struct OwnedBatch {
  std::vector<std::vector<int8_t>> frames;
  std::vector<StreamState> states_in, states_out;
  std::vector<std::vector<int32_t>> logits;
  std::vector<Lane> lanes;
};
// Options for a model of one to three layers that fits the 8-PE kernel of the tests.
RandomModelOptions RandomCardModel(uint32_t seed);
// A batch with one lane for each number in `frames`.
OwnedBatch RandomBatch(const Model& model, const std::vector<int>& frames, uint32_t seed);
// Computes the results of `batch` with ReferenceStep.
void RunReference(const Model& model, OwnedBatch* batch);

}  // namespace ese
