// In builds where XRT is not installed.
#include "accel/xrt/xrt_channel.h"

namespace ese {
namespace {

absl::Status NotBuilt() {
  return absl::UnavailableError(
      "this program was built without XRT; install libxrt-dev (amd64 only) and build it again");
}

}  // namespace

absl::StatusOr<std::vector<XrtCard>> ListXrtCards() { return NotBuilt(); }

absl::StatusOr<std::vector<std::unique_ptr<Channel>>> CreateXrtChannels(
    std::shared_ptr<const Model> /*model*/, const XrtOptions& /*options*/) {
  return NotBuilt();
}

}  // namespace ese
