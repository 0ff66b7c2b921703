// SPDX-License-Identifier: Apache-2.0
#include "accel/xrt/resident_model.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "accel/xrt/xrt_error.h"

namespace ese {

absl::StatusOr<xrt::bo> ResidentModel::BufferOn(const std::shared_ptr<OpenCard>& open,
                                                xrt::memory_group group, const xrt::bo& suspect) {
  const MutexLock lock(mutex_);
  if (open_ != open) {
    memory_.clear();
    open_ = open;
  }
  xrt::bo& buffer = memory_[group];
  if (buffer && !(suspect && buffer.address() == suspect.address())) return buffer;
  const std::vector<uint8_t>& bytes = packed_->card.bytes;
  const absl::Status status = TranslateXrt(
      absl::StrCat("writing the ", bytes.size(), " bytes of model \"", packed_->model->name, "\""),
      [&] {
        xrt::bo written(open->device, BufferSize(bytes.size()), group);
        std::memcpy(written.map<uint8_t*>(), bytes.data(), bytes.size());
        written.sync(XCL_BO_SYNC_BO_TO_DEVICE);
        buffer = std::move(written);
      });
  // If the card has no room for a second buffer, the first stays in use.
  if (!status.ok() && !(buffer && absl::IsResourceExhausted(status))) return status;
  return buffer;
}

}  // namespace ese
