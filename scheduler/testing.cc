// SPDX-License-Identifier: Apache-2.0
#include "scheduler/testing.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "model/reference.h"

namespace ese {

PuppetChannel::PuppetChannel(std::shared_ptr<const Model> model, std::string name, int max_lanes)
    : model_(std::move(model)),
      name_(std::move(name)),
      executor_(name_.substr(0, name_.find('.'))),
      max_lanes_(max_lanes) {}

PuppetChannel::~PuppetChannel() { assert(!busy()); }

absl::Status PuppetChannel::Submit(std::unique_ptr<Batch>* batch, Completion done) {
  ESE_RETURN_IF_ERROR(ValidateBatch(*model_, **batch, max_lanes_));
  const MutexLock lock(mutex_);
  absl::Status refusal = refusal_;
  if (refusal.ok() && batch_ != nullptr) {
    refusal = absl::UnavailableError(absl::StrCat("channel ", name_, " is busy"));
  }
  if (!refusal.ok()) {
    ++refused_;
    return refusal;
  }
  ++accepted_;
  batch_ = std::move(*batch);
  done_ = std::move(done);
  return absl::OkStatus();
}

bool PuppetChannel::busy() const {
  const MutexLock lock(mutex_);
  return batch_ != nullptr;
}

const Batch& PuppetChannel::batch() const {
  const MutexLock lock(mutex_);
  assert(batch_ != nullptr);
  return *batch_;
}

int PuppetChannel::accepted() const {
  const MutexLock lock(mutex_);
  return accepted_;
}

int PuppetChannel::refused() const {
  const MutexLock lock(mutex_);
  return refused_;
}

void PuppetChannel::Refuse(const absl::Status& error) {
  const MutexLock lock(mutex_);
  refusal_ = error;
}

// The results are written while the channel is still busy, so that Submit refuses meanwhile.
void PuppetChannel::Finish(Duration compute_time) {
  {
    const MutexLock lock(mutex_);
    assert(batch_ != nullptr);
    RunReferenceBatch(*model_, batch_.get());
    batch_->compute_time = compute_time;
  }
  Accepted accepted = TakeAccepted();
  accepted.done(std::move(accepted.batch), absl::OkStatus());
}

void PuppetChannel::Fail(const absl::Status& error) {
  {
    const MutexLock lock(mutex_);
    assert(batch_ != nullptr);
    for (Lane& lane : batch_->lanes) {
      std::fill(lane.state_out->c.begin(), lane.state_out->c.end(), int16_t{0x5A5A});
      std::fill(lane.state_out->y.begin(), lane.state_out->y.end(), int8_t{0x5A});
      std::fill(lane.logits.begin(), lane.logits.end(), 0x5A5A5A5A);
    }
  }
  Accepted accepted = TakeAccepted();
  accepted.done(std::move(accepted.batch), error);
}

PuppetChannel::Accepted PuppetChannel::TakeAccepted() {
  const MutexLock lock(mutex_);
  return {.batch = std::move(batch_), .done = std::exchange(done_, nullptr)};
}

ReferenceChannel::ReferenceChannel(std::shared_ptr<const Model> model, std::string name,
                                   int max_lanes)
    : model_(std::move(model)),
      name_(std::move(name)),
      max_lanes_(max_lanes),
      worker_(name_, "ese-reference", [this](Batch* batch) {
        RunReferenceBatch(*model_, batch);
        return absl::OkStatus();
      }) {}

absl::Status ReferenceChannel::Submit(std::unique_ptr<Batch>* batch, Completion done) {
  ESE_RETURN_IF_ERROR(ValidateBatch(*model_, **batch, max_lanes_));
  return worker_.Submit(batch, std::move(done));
}

void RunReferenceBatch(const Model& model, Batch* batch) {
  const int input_columns = model.input_columns();
  const int units = model.num_units();
  batch->steps = 0;
  for (Lane& lane : batch->lanes) {
    std::copy(lane.state_in->c.begin(), lane.state_in->c.end(), lane.state_out->c.begin());
    std::copy(lane.state_in->y.begin(), lane.state_in->y.end(), lane.state_out->y.begin());
    const int frames = static_cast<int>(lane.frames.size()) / input_columns;
    for (int t = 0; t < frames; ++t) {
      ReferenceStep(model, lane.frames.data() + t * input_columns, lane.state_out,
                    lane.logits.data() + t * units);
    }
    batch->steps = std::max(batch->steps, frames);
  }
}

}  // namespace ese
