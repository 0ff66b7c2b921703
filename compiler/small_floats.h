// SPDX-License-Identifier: Apache-2.0
// Floating-point numbers of 16 bits, by their bits.
#pragma once

#include <cstdint>

namespace ese {

// IEEE 754 binary16.
float FromHalf(uint16_t half);
// The upper half of a binary32.
float FromBfloat16(uint16_t bits);

}  // namespace ese
