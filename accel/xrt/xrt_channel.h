// SPDX-License-Identifier: Apache-2.0
// A place of a compute unit as a channel.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "accel/backend.h"
#include "accel/batch_worker.h"
#include "accel/xrt/resident_model.h"
#include "accel/xrt/xrt_card.h"
#include "accel/xrt/xrt_place.h"
#include "base/clock.h"

namespace ese {

// Its thread packs a batch and waits, asleep, until the unit has computed it; another place's batch
// is computed meanwhile. What it needs of the card it gets when the first batch comes, and anew
// after the card was lost.
class XrtChannel final : public Channel {
 public:
  XrtChannel(std::shared_ptr<XrtCard> card, std::shared_ptr<ResidentModel> model, int unit,
             int place, Duration watchdog);

  // UNAVAILABLE also while the card is too hot, and once after something on the card has gone
  // wrong: the scheduler then tests the channel before streams' batches come, which it would
  // otherwise fail one after another if the whole card is to blame.
  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override;

  int max_lanes() const override { return model_->packed().card.shape.lanes; }
  const std::string& name() const override { return name_; }
  const std::string& executor() const override { return executor_; }
  const std::string& kernel() const override { return kernel_; }

 private:
  absl::Status Execute(Batch* batch);
  // Makes place_ ready for a batch.
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

  // The worker's own.
  std::unique_ptr<XrtPlace> place_;
  int failures_ = 0;               // in a row
  uint64_t successes_before_ = 0;  // of the card, at the first of them

  BatchWorker worker_;  // last: it uses all of the above
};

}  // namespace ese
