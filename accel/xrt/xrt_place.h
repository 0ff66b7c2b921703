// SPDX-License-Identifier: Apache-2.0
// XRT's objects for one batch at a time on a compute unit.
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

struct BatchLayout;  // xrt_place.cc

// What became of a batch; with an OK status the kind has no meaning.
struct BatchOutcome {
  absl::Status status;
  CardFault fault = CardFault::kStart;
};

// The card's memory that a batch with so many steps takes.
size_t BatchBytes(const CardModel& packed, int steps);

// Of one model on one unit of a card as it was opened. Used by one thread at a time.
class XrtPlace {
 public:
  // May throw what XRT throws. `packed` must outlive it; `model` is in the memory that the unit
  // reaches.
  XrtPlace(std::shared_ptr<OpenCard> open, int unit, const CardModel& packed, xrt::bo model);

  // Packs the batch, has it computed and unpacks the results. Where the card has not ended the
  // batch after `watchdog`, or is lost meanwhile, the place is stuck.
  BatchOutcome Run(Batch* batch, std::chrono::milliseconds watchdog);

  OpenCard* open() const { return open_.get(); }
  int unit() const { return unit_; }
  const xrt::bo& model() const { return model_; }
  // Whether the card has not ended the last batch, which may take a millisecond to tell: then it
  // may still write to the place's memory, and XRT to its command.
  bool IsStuck() const;

 private:
  void Reserve(size_t bytes);
  void Put(const BatchLayout& layout, const Batch& batch);
  ert_cmd_state Wait(std::chrono::milliseconds watchdog);
  BatchOutcome Take(const BatchLayout& layout, Batch* batch);

  const std::shared_ptr<OpenCard> open_;  // first: it goes last
  const int unit_;
  const CardModel& packed_;
  const xrt::bo model_;
  xrt::run run_;
  xrt::bo memory_;
  uint8_t* bytes_ = nullptr;
  size_t reserved_ = 0;
  bool started_ = false;  // a batch that was not seen to end
};

}  // namespace ese
