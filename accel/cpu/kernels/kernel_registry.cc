// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/kernels/kernel_registry.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ese {
namespace {

std::string Names(const std::vector<const Kernel*>& kernels) {
  return absl::StrJoin(kernels, ", ",
                       [](std::string* out, const Kernel* kernel) { out->append(kernel->name()); });
}

}  // namespace

std::vector<const Kernel*> SupportedKernels() {
  std::vector<const Kernel*> supported;
  for (const Kernel* kernel :
       {Avx512VbmiKernel(), Avx512VnniKernel(), Avx512BwKernel(), AvxVnniKernel(), Avx2Kernel(),
        NeonI8mmKernel(), NeonDotKernel(), PortableKernel()}) {
    if (kernel != nullptr && kernel->Supported()) supported.push_back(kernel);
  }
  return supported;
}

absl::StatusOr<const Kernel*> ChooseKernel(const std::string& name) {
  const std::vector<const Kernel*> supported = SupportedKernels();
  const char* variable = std::getenv(kKernelVariable);
  const bool from_variable = name.empty() && variable != nullptr;
  const std::string wanted = from_variable ? variable : name;
  if (wanted.empty()) return supported.front();
  for (const Kernel* kernel : supported) {
    if (wanted == kernel->name()) return kernel;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      from_variable ? absl::StrCat(kKernelVariable, "=") : "CPU kernel ", "\"", wanted,
      "\" is unknown or not supported by this processor; choose one of: ", Names(supported),
      ", or leave it unset for the fastest"));
}

}  // namespace ese
