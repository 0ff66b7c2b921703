// SPDX-License-Identifier: Apache-2.0
// Reads and checks the xclbin file that is loaded onto cards.
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
  std::vector<std::string> units;  // as xrt::kernel expects them: ese_channel:{ese_channel_1}
  std::string uuid;
  int clock_megahertz = 0;  // of the kernels; 0 if the file does not say
};

// NOT_FOUND if there is no such file. INVALID_ARGUMENT if it is not an xclbin, lacks the kernel, or
// has another interface version or an impossible clock. The message gives the reason and the
// remedy.
absl::StatusOr<XclbinFile> ReadXclbin(const std::string& path);

}  // namespace ese
