// SPDX-License-Identifier: Apache-2.0
// A slot for one batch at a time on a compute unit: its run and its buffer in the card's memory.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "accel/backend.h"
#include "accel/xrt/card_metrics.h"
#include "accel/xrt/resident_model.h"
#include "xrt/xrt_bo.h"
#include "xrt/xrt_kernel.h"

namespace ese {

struct BatchLayout;  // xrt_batch_slot.cc

// The result of a batch. `fault` is meaningless if the status is OK.
struct BatchOutcome {
  absl::Status status;
  CardFault fault = CardFault::kStart;
};

// Returns how many bytes of the card's memory a batch of `steps` steps takes.
size_t BatchBytes(const CardModel& packed, int steps);

// Serves one model on one unit of a card, until the card is lost. Used by one thread at a time.
class XrtBatchSlot {
 public:
  // Throws what XRT throws. `packed` must outlive the slot. `model` is a buffer in memory that the
  // unit can reach.
  XrtBatchSlot(std::shared_ptr<OpenCard> open, int unit, const CardModel& packed, xrt::bo model);

  // Packs the batch, runs it on the card and unpacks the results. If the card does not end
  // the batch within `watchdog`, or is lost before it ends, the slot is stuck.
  BatchOutcome Run(Batch* batch, std::chrono::milliseconds watchdog);

  OpenCard* open() const { return open_.get(); }
  int unit() const { return unit_; }
  const xrt::bo& model() const { return model_; }
  // Returns true if the card has not ended the last batch. In that case the card may still write to
  // the slot's memory, and XRT may still write to its command. The call may take a millisecond.
  bool IsStuck() const;

 private:
  void Reserve(size_t bytes);
  void Put(const BatchLayout& layout, const Batch& batch);
  ert_cmd_state Wait(std::chrono::milliseconds watchdog);
  BatchOutcome Take(const BatchLayout& layout, Batch* batch);

  const std::shared_ptr<OpenCard> open_;  // first, so that it is destroyed last
  const int unit_;
  const CardModel& packed_;
  const xrt::bo model_;
  xrt::run run_;
  xrt::bo memory_;
  uint8_t* bytes_ = nullptr;
  size_t reserved_ = 0;
  bool started_ = false;  // a batch was started and has not been seen to end
};

}  // namespace ese
