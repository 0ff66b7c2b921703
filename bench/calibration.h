// SPDX-License-Identifier: Apache-2.0
// What the processor can do at most, measured in the same run as the kernels.
#pragma once

#include <functional>

namespace ese {

// Each function does so many of its operations in one call.
inline constexpr int kCalibrationRepeats = 20000;
inline constexpr int kUpdatedCells = 32;

// Loops that read and write registers only, or the first-level cache, without waiting for results.
struct CalibrationLoops {
  // The vector instructions for 16 entries of 64 lanes, which is four times eight unpacks and four
  // vpdpbusd.
  std::function<void()> products;
  // Sixteen loads of 64 bytes.
  std::function<void()> loads;
  // Sixteen times vpermb and vpdpbusd: 64 products each. Null where the processor lacks VBMI.
  std::function<void()> lookups;
  // Sixteen vpdpbusd.
  std::function<void()> dots;
  // The instructions that update kUpdatedCells cells, a register of them.
  std::function<void()> updates;
};

// False where the processor or the compiler's target has no AVX-512 VNNI.
bool GetCalibrationLoops(CalibrationLoops* loops);

}  // namespace ese
