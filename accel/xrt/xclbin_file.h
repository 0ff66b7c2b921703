// SPDX-License-Identifier: Apache-2.0
// The xclbin that cards are loaded with.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "experimental/xrt_xclbin.h"

namespace ese {

inline constexpr const char* kCardKernel = "ese_channel";

struct XclbinFile {
  std::string path;
  xrt::xclbin xclbin;
  std::vector<std::string> units;  // names as xrt::kernel takes them: ese_channel:{ese_channel_1}
  std::string uuid;
  int clock_megahertz = 0;  // of the kernels; 0: the file does not tell
};

// NOT_FOUND: no such file. INVALID_ARGUMENT: no xclbin, one without the kernel, one with another
// version of its interface, or one whose clock cannot be; the message says which and what to do.
absl::StatusOr<XclbinFile> ReadXclbin(const std::string& path);

}  // namespace ese
