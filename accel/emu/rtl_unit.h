// SPDX-License-Identifier: Apache-2.0
// A compute unit that is the verilated kernel, its AXI4 masters on the card's memory. It is in a
// library of its own, libese_rtl_unit.so, because building that takes minutes.
#pragma once

#include <memory>

#include "accel/emu/unit.h"

namespace ese::emu {

// Throws std::runtime_error if the library is not beside the one that this code is in.
std::unique_ptr<Unit> CreateRtlUnit();

// What the library exports: a function of this name and type.
inline constexpr char kRtlUnitFactory[] = "ese_create_rtl_unit";
using RtlUnitFactory = Unit*();

}  // namespace ese::emu
