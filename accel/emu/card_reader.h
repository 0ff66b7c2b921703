// SPDX-License-Identifier: Apache-2.0
// Reads the header and the passes of a packed model from the card's memory, and checks them as the
// kernel does.
#pragma once

#include <cstdint>

#include "accel/card/card_model.h"
#include "accel/emu/unit.h"

namespace ese::emu {

// Reads the packed model at `address`: header, passes and a copy of the bytes. The passes have no
// matrices; UnpackModel (card_unpacker.h) makes those. Returns the error with which the kernel
// would end, or kBadModel if the header's sums are not those of the passes.
CardError ReadCardModel(const CardShape& shape, KernelMemory* memory, uint64_t address,
                        CardModel* out);

}  // namespace ese::emu
