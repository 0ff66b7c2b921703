// SPDX-License-Identifier: Apache-2.0
// Chooses the kernel: the fastest one that the processor supports, unless one is named.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "accel/cpu/kernels/kernel.h"

namespace ese {

// The environment variable that names the kernel to use.
inline constexpr char kKernelVariable[] = "ESE_CPU_KERNEL";

// The kernels that this processor supports, the fastest first. They are never destroyed.
std::vector<const Kernel*> SupportedKernels();

// Returns the kernel called `name`. If `name` is empty, returns the kernel named by ESE_CPU_KERNEL;
// if that names none either, the fastest one. INVALID_ARGUMENT: there is no such kernel, or this
// processor does not support it; the message lists the supported kernels, and names the variable if
// the name came from there.
absl::StatusOr<const Kernel*> ChooseKernel(const std::string& name = "");

}  // namespace ese
