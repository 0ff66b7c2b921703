// SPDX-License-Identifier: Apache-2.0
// Makes a model again from its packed form: the reverse of PackForCard.
#pragma once

#include <memory>

#include "accel/card/card_model.h"
#include "model/model.h"

namespace ese::emu {

// Returns a model with the arithmetic of card.bytes but without names or features, or null if no
// model packs to these bytes. `card` is as ReadCardModel left it.
//
// The output units are the rows of the output passes, [row of a PE][PE]. There are more of them
// than in the model that was packed, and some are pieces of its rows.
std::shared_ptr<const Model> UnpackModel(const CardModel& card);

}  // namespace ese::emu
