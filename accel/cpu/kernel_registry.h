// SPDX-License-Identifier: Apache-2.0
// Which kernel runs: the fastest that the processor supports, unless one is named.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "accel/cpu/kernel.h"

namespace ese {

// Environment variable that names the kernel to use.
inline constexpr char kKernelVariable[] = "ESE_CPU_KERNEL";

// Kernels that this processor supports, the fastest first. They live for ever.
std::vector<const StepKernel*> SupportedKernels();

// The kernel called `name`, or where that is empty the one that ESE_CPU_KERNEL names, or else the
// fastest. INVALID_ARGUMENT: no such kernel, or not on this processor; the message names the
// variable where that gave the name, and the kernels there are.
absl::StatusOr<const StepKernel*> ChooseKernel(const std::string& name = "");

}  // namespace ese
