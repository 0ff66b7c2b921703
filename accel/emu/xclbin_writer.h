// SPDX-License-Identifier: Apache-2.0
// Writes the .xclbin of an emulated card, which has the metadata of a real one but no bit stream.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace ese::emu {

struct XclbinOptions {
  std::string kernel = "ese_channel";
  std::string interface_version = "1.0";  // of the kernel
  int compute_units = 4;                  // kernel_1, kernel_2 and so on
  int clock_megahertz = 200;
  int memory_mebibytes = 4096;
};

// PERMISSION_DENIED if the file cannot be written.
absl::Status WriteXclbin(const XclbinOptions& options, const std::string& path);

}  // namespace ese::emu
