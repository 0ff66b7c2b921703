// SPDX-License-Identifier: Apache-2.0
#include "scheduler/flight.h"

#include <utility>

namespace ese {

FlightPool::FlightPool(const Model& model, int max_lanes, int max_frames_per_lane)
    : max_lanes_(max_lanes),
      frames_size_(max_lanes_ * max_frames_per_lane * model.input_dim()),
      logits_size_(max_lanes_ * max_frames_per_lane * model.num_units()) {}

std::shared_ptr<Flight> FlightPool::Take() {
  std::unique_ptr<Flight> flight;
  {
    std::lock_guard lock(mutex_);
    if (!unused_.empty()) {
      flight = std::move(unused_.back());
      unused_.pop_back();
    }
  }
  if (flight == nullptr) flight = Make();
  return {flight.release(), [this](Flight* f) { PutBack(std::unique_ptr<Flight>(f)); }};
}

std::unique_ptr<Flight> FlightPool::Make() const {
  auto flight = std::make_unique<Flight>();
  flight->batch = std::make_unique<Batch>();
  flight->batch->lanes.reserve(max_lanes_);
  flight->streams.reserve(max_lanes_);
  flight->taken.reserve(max_lanes_);
  flight->ready.reserve(max_lanes_);
  flight->waiting.reserve(max_lanes_);
  flight->frames = AlignedBuffer<int8_t>(frames_size_);
  flight->logits = AlignedBuffer<int32_t>(logits_size_);
  return flight;
}

void FlightPool::PutBack(std::unique_ptr<Flight> flight) {
  flight->streams.clear();  // without the lock: the last of a stream may go here
  flight->taken.clear();
  flight->ready.clear();
  flight->waiting.clear();
  flight->abandoned.clear();
  flight->test.reset();
  flight->expected = Duration(0);
  flight->batch->lanes.clear();
  flight->batch->compute_time = Duration(0);
  flight->batch->steps = 0;
  std::lock_guard lock(mutex_);
  unused_.push_back(std::move(flight));
}

}  // namespace ese
