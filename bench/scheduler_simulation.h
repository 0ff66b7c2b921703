// SPDX-License-Identifier: Apache-2.0
// Runs the real scheduler in virtual time, with simulated channels and streams and a clock that
// jumps from event to event.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <queue>
#include <vector>

#include "base/fake_clock.h"
#include "base/latency_histogram.h"
#include "model/model.h"
#include "scheduler/channel_cost.h"
#include "scheduler/scheduler.h"

namespace ese {

// Events on a FakeClock. Events at the same time run in the order in which At was called.
class EventQueue {
 public:
  explicit EventQueue(FakeClock* clock) : clock_(clock) {}

  void At(TimePoint time, std::function<void()> event) {
    events_.push({time, next_++, std::move(event)});
  }
  TimePoint now() const { return clock_->Now(); }
  // Runs the events until `end`. Before each, `advance` moves the clock forward, and alarms that
  // are due ring within it.
  void RunUntil(TimePoint end, const std::function<void(Duration)>& advance);

 private:
  struct Event {
    TimePoint time;
    int64_t number;
    std::function<void()> run;
    bool operator<(const Event& other) const {
      return time != other.time ? time > other.time : number > other.number;
    }
  };
  FakeClock* const clock_;
  std::priority_queue<Event> events_;
  int64_t next_ = 0;
};

struct SimulatedStreams {
  int count = 100'000;
  int frames_per_chunk = 10;  // a frame is 10 ms
  // One stream in stalls_in sometimes stalls for half a second to a second and a half, and then
  // sends all its pending frames at once.
  int stalls_in = 20;
  // One stream in fast_in is a recording that is sent five times as fast as real time.
  int fast_in = 50;
};

struct SimulationOptions {
  SimulatedStreams streams = {};
  // Frames per second that the streams send, divided by the most that all channels can compute.
  double load = 0.8;
  Duration warm_up = std::chrono::milliseconds(500);
  Duration measured = std::chrono::seconds(2);
  // If true, one channel fails all batches in the first half of the measurement, and another takes
  // three seconds longer for one batch.
  bool faults = true;
  SchedulerOptions scheduler = {};
};

struct SimulationResult {
  LatencyHistogram wait;     // from push to batch, of each lane's oldest frame
  LatencyHistogram latency;  // from push to result, of the same frames
  int64_t frames = 0;
  int64_t batches = 0;
  int64_t lanes = 0;
  int64_t lanes_offered = 0;   // what those batches could have had at most
  int64_t errors = 0;          // streams that ended with an error, and pushes refused
  int refused = 0;             // streams that were not admitted
  Duration scheduler_time{0};  // real time spent in the scheduler's code
  // The 1st and 99th percentile, over real-time streams that never stall, of a stream's mean wait
  // in milliseconds.
  double stream_wait_p01_ms = 0;
  double stream_wait_p99_ms = 0;
  double ns_per_frame() const {
    return static_cast<double>(scheduler_time.count()) / static_cast<double>(frames);
  }
};

// Simulates 64 channels of 8 cards and 4 CPU channels of different speeds.
SimulationResult Simulate(const SimulationOptions& options);

}  // namespace ese
