// SPDX-License-Identifier: Apache-2.0
// Replaces the back end for cards in builds without XRT.
#include "accel/xrt/xrt_cards.h"

namespace ese {
namespace {

absl::Status NotBuilt() {
  return absl::UnavailableError(
      "this program was built without XRT; install libxrt-dev (amd64 only) and rebuild it");
}

}  // namespace

absl::StatusOr<std::vector<XrtCardInfo>> ListXrtCards() { return NotBuilt(); }

absl::StatusOr<std::unique_ptr<XrtCards>> XrtCards::Open(const XrtOptions& /*options*/,
                                                         MetricsRegistry* /*metrics*/) {
  return NotBuilt();
}

XrtCards::~XrtCards() = default;

absl::StatusOr<std::vector<std::unique_ptr<Channel>>> XrtCards::MakeChannels(
    std::shared_ptr<const Model> /*model*/) {
  return NotBuilt();
}

}  // namespace ese
