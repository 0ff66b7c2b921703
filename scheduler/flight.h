// A batch on its way through a channel, with the streams and buffers of its lanes.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "accel/backend.h"
#include "base/aligned_buffer.h"
#include "scheduler/stream_record.h"

namespace ese {

struct Flight {
  std::unique_ptr<Batch> batch;
  int channel = 0;                                     // in the pool
  std::vector<std::shared_ptr<StreamRecord>> streams;  // of each lane
  std::vector<TakenFrames> taken;                      // of each lane
  std::vector<StreamRecord*> ready;                    // scratch: those ready again
  AlignedBuffer<int8_t> frames;                        // of all lanes, end to end
  AlignedBuffer<int32_t> logits;                       // likewise
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
