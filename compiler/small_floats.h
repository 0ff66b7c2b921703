// SPDX-License-Identifier: Apache-2.0
// Converts 16-bit floating-point numbers, given by their bits, to float.
#pragma once

#include <cstdint>

namespace ese {

// IEEE 754 binary16.
float FromHalf(uint16_t half);
// bfloat16: the upper half of a binary32.
float FromBfloat16(uint16_t bits);

}  // namespace ese
