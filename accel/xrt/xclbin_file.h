// SPDX-License-Identifier: Apache-2.0
// Reads and checks the xclbin that cards are loaded with.
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
  int clock_megahertz = 0;  // of the kernels; 0 if the file does not say
};

// NOT_FOUND if there is no such file. INVALID_ARGUMENT if it is not an xclbin, lacks the kernel,
// has another version of its interface or an impossible clock; the message says which and what to
// do.
absl::StatusOr<XclbinFile> ReadXclbin(const std::string& path);

}  // namespace ese
