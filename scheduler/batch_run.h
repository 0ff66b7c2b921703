// SPDX-License-Identifier: Apache-2.0
// One run of a batch on a channel, with the streams and buffers of its lanes.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "accel/backend.h"
#include "base/aligned_buffer.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "scheduler/known_answer.h"
#include "scheduler/stream_record.h"

namespace ese {

// What a run needs in addition if it carries no streams but tests its channel. A new channel
// computes several test batches, one after another, in the same BatchRun.
struct ChannelTest {
  TestBatch batch;
  int stage = 0;                    // index of the current batch
  std::array<Duration, 4> times{};  // compute times of the batches so far
};

// core.h has a diagram of a run's life. A run is used by one thread at a time, except that the
// alarm's thread may give up a run whose channel still executes the batch: it then touches
// `streams`, `ready` and `abandoned`, and the channel touches only `batch` and the buffers.
struct BatchRun {
  std::unique_ptr<Batch> batch;
  int channel = 0;                                      // index of the channel
  int steps = 0;                                        // upper bound on the longest lane's frames
  Duration expected{0};                                 // predicted compute time
  std::vector<std::shared_ptr<StreamRecord>> streams;   // one for each lane
  std::vector<TakenFrames> taken;                       // one for each lane
  std::vector<StreamRecord*> ready;                     // scratch: streams that are ready again
  std::vector<int> waiting;                             // scratch: waiting frames of each lane
  std::vector<std::shared_ptr<StreamState>> abandoned;  // states that a given-up run may still use
  std::unique_ptr<ChannelTest> test;                    // null if the run carries streams
  AlignedBuffer<int8_t> frames;                         // of all lanes, end to end
  AlignedBuffer<int32_t> logits;                        // likewise
};

// Recycles BatchRuns, which have buffers for full batches. It keeps the largest number that were in
// use at the same time, about two for each channel. Thread-safe. Must outlive the runs.
class BatchRunPool {
 public:
  BatchRunPool(const Model& model, int max_lanes, int max_frames_per_lane);

  // Returns a run with an empty batch. The run returns to the pool when the last copy of the
  // pointer is destroyed.
  std::shared_ptr<BatchRun> Take();

 private:
  std::unique_ptr<BatchRun> Make() const;
  void PutBack(std::unique_ptr<BatchRun> run);

  const size_t max_lanes_;
  const size_t frames_size_;
  const size_t logits_size_;
  Mutex mutex_;
  std::vector<std::unique_ptr<BatchRun>> unused_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
