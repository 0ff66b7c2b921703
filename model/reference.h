// SPDX-License-Identifier: Apache-2.0
// The normative step, written to be read: every back end must equal it bit for bit.
#pragma once

#include <cstdint>

#include "model/model.h"

namespace ese {

// One frame through all layers: x [input_dim] in, *state updated, logits [num_units] (Q12.19) out.
void ReferenceStep(const Model& model, const int8_t* x, StreamState* state, int32_t* logits);

}  // namespace ese
