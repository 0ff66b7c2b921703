// SPDX-License-Identifier: Apache-2.0
#include "scheduler/batch_run.h"

#include <utility>

namespace ese {

BatchRunPool::BatchRunPool(const Model& model, int max_lanes, int max_frames_per_lane)
    : max_lanes_(max_lanes),
      frames_size_(max_lanes_ * max_frames_per_lane * model.input_columns()),
      logits_size_(max_lanes_ * max_frames_per_lane * model.num_units()) {}

std::shared_ptr<BatchRun> BatchRunPool::Take() {
  std::unique_ptr<BatchRun> run;
  {
    const MutexLock lock(mutex_);
    if (!unused_.empty()) {
      run = std::move(unused_.back());
      unused_.pop_back();
    }
  }
  if (run == nullptr) run = Make();
  return {run.release(), [this](BatchRun* r) { PutBack(std::unique_ptr<BatchRun>(r)); }};
}

std::unique_ptr<BatchRun> BatchRunPool::Make() const {
  auto run = std::make_unique<BatchRun>();
  run->batch = std::make_unique<Batch>();
  run->batch->lanes.reserve(max_lanes_);
  run->streams.reserve(max_lanes_);
  run->taken.reserve(max_lanes_);
  run->ready.reserve(max_lanes_);
  run->waiting.reserve(max_lanes_);
  run->frames = AlignedBuffer<int8_t>(frames_size_);
  run->logits = AlignedBuffer<int32_t>(logits_size_);
  return run;
}

void BatchRunPool::PutBack(std::unique_ptr<BatchRun> run) {
  run->streams.clear();  // before the lock is taken: this may destroy a closed stream's record
  run->taken.clear();
  run->ready.clear();
  run->waiting.clear();
  run->abandoned.clear();
  run->test.reset();
  run->expected = Duration(0);
  run->batch->lanes.clear();
  run->batch->compute_time = Duration(0);
  run->batch->steps = 0;
  const MutexLock lock(mutex_);
  unused_.push_back(std::move(run));
}

}  // namespace ese
