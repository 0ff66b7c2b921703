// SPDX-License-Identifier: Apache-2.0
// A batch on its way through a channel, with the streams and buffers of its lanes.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <vector>

#include "accel/backend.h"
#include "base/aligned_buffer.h"
#include "base/clock.h"
#include "scheduler/known_answer.h"
#include "scheduler/stream_record.h"

namespace ese {

// A flight without streams, that tests its channel.
struct ChannelTest {
  ProbeBatch probe;
  int stage = 0;                    // which of several batches this is
  std::array<Duration, 4> times{};  // of those so far
};

struct Flight {
  std::unique_ptr<Batch> batch;
  int channel = 0;       // in the pool
  int steps = 0;         // at most so many frames of each stream
  Duration expected{0};  // how long it takes
  TimePoint overdue;     // when its channel is given up; guarded by the scheduler's mutex
  std::vector<std::shared_ptr<StreamRecord>> streams;   // of each lane
  std::vector<TakenFrames> taken;                       // of each lane
  std::vector<StreamRecord*> ready;                     // scratch: those ready again
  std::vector<int> waiting;                             // scratch: frames of each lane
  std::vector<std::shared_ptr<StreamState>> abandoned;  // of a flight that was given up
  std::unique_ptr<ChannelTest> test;                    // null for streams' batches
  AlignedBuffer<int8_t> frames;                         // of all lanes, end to end
  AlignedBuffer<int32_t> logits;                        // likewise
};

// Flights with buffers for full batches, used again and again: there are as many as have ever been
// in use at once, about two for each channel. Thread-safe. Must outlive the flights.
class FlightPool {
 public:
  FlightPool(const Model& model, int max_lanes, int max_frames_per_lane);

  // With an empty batch. Comes back to the pool when the last copy of the pointer goes.
  std::shared_ptr<Flight> Take();

 private:
  std::unique_ptr<Flight> Make() const;
  void PutBack(std::unique_ptr<Flight> flight);

  const size_t max_lanes_;
  const size_t frames_size_;
  const size_t logits_size_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Flight>> unused_;  // guarded by mutex_
};

}  // namespace ese
