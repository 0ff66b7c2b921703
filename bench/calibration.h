// SPDX-License-Identifier: Apache-2.0
// Loops that measure the processor's limits in the same run as the kernels.
#pragma once

#include <functional>

namespace ese {

// Each loop below does its operation this many times in one call.
inline constexpr int kCalibrationRepeats = 20000;
inline constexpr int kUpdatedCells = 32;

// Loops that use only registers or the first-level cache, and whose instructions never wait for
// each other's results.
struct CalibrationLoops {
  // The vector instructions for 16 entries of 64 lanes by columns: four groups of eight unpacks and
  // four vpdpbusd.
  std::function<void()> products;
  // Sixteen loads of 64 bytes.
  std::function<void()> loads;
  // Sixteen pairs of vpermb and vpdpbusd, for 64 products each. Null if the processor lacks VBMI.
  std::function<void()> lookups;
  // Sixteen vpdpbusd.
  std::function<void()> dots;
  // The instructions that update one register of cells (kUpdatedCells).
  std::function<void()> updates;
};

// Returns false if the processor, or the target of the compiler, has no AVX-512 VNNI.
bool GetCalibrationLoops(CalibrationLoops* loops);

}  // namespace ese
