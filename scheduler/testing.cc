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
  std::lock_guard lock(mutex_);
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
  std::lock_guard lock(mutex_);
  return batch_ != nullptr;
}

const Batch& PuppetChannel::batch() const {
  std::lock_guard lock(mutex_);
  assert(batch_ != nullptr);
  return *batch_;
}

int PuppetChannel::accepted() const {
  std::lock_guard lock(mutex_);
  return accepted_;
}

int PuppetChannel::refused() const {
  std::lock_guard lock(mutex_);
  return refused_;
}

void PuppetChannel::Finish(Duration compute_time) {
  std::unique_lock lock(mutex_);
  assert(batch_ != nullptr);
  RunReferenceBatch(*model_, batch_.get());
  batch_->compute_time = compute_time;
  Complete(std::move(lock), absl::OkStatus());
}

void PuppetChannel::Fail(const absl::Status& error) {
  std::unique_lock lock(mutex_);
  assert(batch_ != nullptr);
  for (Lane& lane : batch_->lanes) {
    std::fill(lane.state_out->c.begin(), lane.state_out->c.end(), int16_t{0x5A5A});
    std::fill(lane.state_out->y.begin(), lane.state_out->y.end(), int8_t{0x5A});
    std::fill(lane.logits.begin(), lane.logits.end(), 0x5A5A5A5A);
  }
  Complete(std::move(lock), error);
}

void PuppetChannel::Refuse(const absl::Status& error) {
  std::lock_guard lock(mutex_);
  refusal_ = error;
}

void PuppetChannel::Complete(std::unique_lock<std::mutex> lock, const absl::Status& status) {
  std::unique_ptr<Batch> batch = std::move(batch_);
  const Completion done = std::exchange(done_, nullptr);
  lock.unlock();
  done(std::move(batch), status);
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
  const int input_dim = model.input_dim();
  const int units = model.num_units();
  batch->steps = 0;
  for (Lane& lane : batch->lanes) {
    std::copy(lane.state_in->c.begin(), lane.state_in->c.end(), lane.state_out->c.begin());
    std::copy(lane.state_in->y.begin(), lane.state_in->y.end(), lane.state_out->y.begin());
    const int frames = static_cast<int>(lane.frames.size()) / input_dim;
    for (int t = 0; t < frames; ++t) {
      ReferenceStep(model, lane.frames.data() + t * input_dim, lane.state_out,
                    lane.logits.data() + t * units);
    }
    batch->steps = std::max(batch->steps, frames);
  }
}

}  // namespace ese
