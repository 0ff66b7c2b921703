// SPDX-License-Identifier: Apache-2.0
// A model in the memory of a card.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "accel/card/card_model.h"
#include "accel/xrt/xrt_card.h"
#include "base/mutex.h"
#include "model/model.h"
#include "xrt/xrt_bo.h"

namespace ese {

// XRT rejects buffers whose size is not a multiple of this.
inline constexpr size_t kBufferAlignment = 4096;
inline size_t BufferSize(size_t bytes) {
  return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

// A model and its packed form; all cards share it.
struct PackedForCards {
  std::shared_ptr<const Model> model;
  CardModel card;
};

// One model on one card. The card's channels for this model share it. Thread-safe.
class ResidentModel {
 public:
  explicit ResidentModel(std::shared_ptr<const PackedForCards> packed)
      : packed_(std::move(packed)) {}

  const PackedForCards& packed() const { return *packed_; }

  // Returns the buffer that holds the model in memory `group` of the open card, and writes the
  // model there first if necessary. If the buffer is `suspect`, its contents may have caused a
  // fault, so the model is written to a new buffer; other channels may still be reading the old
  // one. Errors are those of CurrentXrtError.
  absl::StatusOr<xrt::bo> BufferOn(const std::shared_ptr<OpenCard>& open, xrt::memory_group group,
                                   const xrt::bo& suspect = {});

 private:
  const std::shared_ptr<const PackedForCards> packed_;
  Mutex mutex_;
  // In this order, so that the buffers are destroyed before their card.
  std::shared_ptr<OpenCard> open_ ABSL_GUARDED_BY(mutex_);
  std::map<xrt::memory_group, xrt::bo> memory_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
