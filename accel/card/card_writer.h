// SPDX-License-Identifier: Apache-2.0
// Writes the bytes of a packed model (card_format.h).
#pragma once

#include "accel/card/card_model.h"
#include "model/model.h"

namespace ese {

// Fills packed->bytes from the other members. REQUIRES: sizes fit the format's 16-bit fields.
void WritePackedModel(const Model& model, CardModel* packed);

}  // namespace ese
