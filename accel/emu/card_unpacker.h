// SPDX-License-Identifier: Apache-2.0
// The reverse of PackForCard.
#pragma once

#include <cstdint>
#include <memory>

#include "accel/card/card_model.h"
#include "accel/emu/unit.h"
#include "model/model.h"

namespace ese::emu {

// Header and passes of the packed model at `address`, and its bytes. The matrices are null.
CardError ReadCardModel(const CardShape& shape, KernelMemory* memory, uint64_t address,
                        CardModel* out);

// A model with the arithmetic of card.bytes, but no names or features. Output units are the rows of
// the output passes, [row of a PE][PE]: more than the model had that was packed, and some of them
// pieces of its rows. Null if no model packs to this.
std::shared_ptr<const Model> UnpackModel(const CardModel& card);

}  // namespace ese::emu
