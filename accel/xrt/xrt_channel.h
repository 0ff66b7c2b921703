// SPDX-License-Identifier: Apache-2.0
// A channel that runs its batches in one batch slot of a compute unit.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "accel/backend.h"
#include "accel/batch_worker.h"
#include "accel/xrt/resident_model.h"
#include "accel/xrt/xrt_batch_slot.h"
#include "accel/xrt/xrt_card.h"
#include "base/clock.h"

namespace ese {

// The channel's thread packs a batch and sleeps until the unit has computed it. Meanwhile the unit
// may compute the batch of its other slot. The channel allocates what it needs on the card for the
// first batch, and again after the card was lost.
class XrtChannel final : public Channel {
 public:
  XrtChannel(std::shared_ptr<XrtCard> card, std::shared_ptr<ResidentModel> model, int unit,
             int slot, Duration watchdog);

  // Also returns UNAVAILABLE while the card is too hot, and once after anything on the card has
  // failed. The scheduler then tests the channel before it sends batches of streams, which would
  // fail one after another if the whole card is at fault.
  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override;

  int max_lanes() const override { return model_->packed().card.shape.lanes; }
  const std::string& name() const override { return name_; }
  const std::string& executor() const override { return executor_; }
  const std::string& kernel() const override { return kernel_; }

 private:
  absl::Status Execute(Batch* batch);
  // Prepares slot_ for a batch.
  absl::Status Prepare();
  absl::Status CheckUnit();
  absl::Status Failed(const BatchOutcome& outcome);

  const std::shared_ptr<XrtCard> card_;
  const std::shared_ptr<ResidentModel> model_;
  const int unit_;
  const std::string executor_;  // xrt0.1
  const std::string name_;      // xrt0.1.0
  const std::string kernel_;
  const std::chrono::milliseconds watchdog_;
  std::atomic<uint64_t> alarms_seen_;

  // Used by the worker's thread only.
  std::unique_ptr<XrtBatchSlot> slot_;
  int failures_ = 0;               // in a row
  uint64_t successes_before_ = 0;  // of the card, at the first of these failures

  BatchWorker worker_;  // last, because its thread uses the members above
};

}  // namespace ese
