// SPDX-License-Identifier: Apache-2.0
// A model in the memory of a card.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "accel/card/card_model.h"
#include "accel/xrt/xrt_card.h"
#include "model/model.h"
#include "xrt/xrt_bo.h"

namespace ese {

// XRT rejects buffers whose size is no multiple of this.
inline constexpr size_t kBufferAlignment = 4096;
inline size_t BufferSize(size_t bytes) {
  return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

// A model as the kernel takes it; shared by all cards.
struct PackedForCards {
  std::shared_ptr<const Model> model;
  CardModel card;
};

// Of one model on one card, shared by its channels there. Thread-safe.
class ResidentModel {
 public:
  explicit ResidentModel(std::shared_ptr<const PackedForCards> packed)
      : packed_(std::move(packed)) {}

  const PackedForCards& packed() const { return *packed_; }

  // The model in memory `group` of the card as it is open now, where it is written first if it is
  // not there. `suspect` is not used any more, if that is what it is, but another buffer: what has
  // gone wrong may be its contents, and others may be reading them. Errors as of CurrentXrtError.
  absl::StatusOr<xrt::bo> BufferOn(const std::shared_ptr<OpenCard>& open, xrt::memory_group group,
                                   const xrt::bo& suspect = {});

 private:
  const std::shared_ptr<const PackedForCards> packed_;
  std::mutex mutex_;
  // Guarded by mutex_. The buffers go before the card that they are of.
  std::shared_ptr<OpenCard> open_;
  std::map<xrt::memory_group, xrt::bo> memory_;
};

}  // namespace ese
