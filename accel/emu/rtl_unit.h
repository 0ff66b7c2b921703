// SPDX-License-Identifier: Apache-2.0
// A compute unit that runs the verilated kernel with its AXI4 masters on the card's memory. It is
// in a separate library, libese_rtl_unit.so, because that takes minutes to build.
#pragma once

#include <memory>

#include "accel/emu/unit.h"

namespace ese::emu {

// Throws std::runtime_error if that library is not in the folder of the library with this code.
std::unique_ptr<Unit> CreateRtlUnit();

// The library exports a function of this name and type.
inline constexpr char kRtlUnitFactory[] = "ese_create_rtl_unit";
using RtlUnitFactory = Unit*();

}  // namespace ese::emu
