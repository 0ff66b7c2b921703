// SPDX-License-Identifier: Apache-2.0
// The normative step, written for readability. Every back end must equal it bit for bit.
#pragma once

#include <cstdint>

#include "model/model.h"

namespace ese {

// Computes one step, that is one frame through all layers: reads x [input_columns], updates *state
// and writes logits [num_units] (Q12.19).
void ReferenceStep(const Model& model, const int8_t* x, StreamState* state, int32_t* logits);

}  // namespace ese
