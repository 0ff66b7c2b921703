#include "accel/xrt/resident_model.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "accel/xrt/xrt_error.h"
#include "base/status.h"

namespace ese {

absl::StatusOr<uint64_t> ResidentModel::AddressOn(const std::shared_ptr<OpenCard>& open,
                                                  xrt::memory_group group) {
  const std::lock_guard lock(mutex_);
  if (open_ != open) {
    memory_.clear();
    open_ = open;
  }
  uint64_t address = 0;
  const std::vector<uint8_t>& bytes = packed_->card.bytes;
  ESE_RETURN_IF_ERROR(TranslateXrt(
      absl::StrCat("writing the ", bytes.size(), " bytes of model \"", packed_->model->name, "\""),
      [&] {
        auto found = memory_.find(group);
        if (found == memory_.end()) {
          xrt::bo memory(open->device, BufferSize(bytes.size()), group);
          std::memcpy(memory.map<uint8_t*>(), bytes.data(), bytes.size());
          memory.sync(XCL_BO_SYNC_BO_TO_DEVICE);
          found = memory_.emplace(group, std::move(memory)).first;
        }
        address = found->second.address();
      }));
  return address;
}

absl::Status ResidentModel::Rewrite(const OpenCard* open, xrt::memory_group group) {
  const std::lock_guard lock(mutex_);
  const auto found = memory_.find(group);
  if (open_.get() != open || found == memory_.end()) return absl::OkStatus();
  return TranslateXrt(absl::StrCat("writing model \"", packed_->model->name, "\" again"),
                      [&] { found->second.sync(XCL_BO_SYNC_BO_TO_DEVICE); });
}

}  // namespace ese
