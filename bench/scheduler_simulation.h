// SPDX-License-Identifier: Apache-2.0
// The real scheduler in virtual time: simulated channels and streams, and a clock that jumps from
// event to event.
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

// What happens when, on a FakeClock. Equal times in the order of At.
class EventQueue {
 public:
  explicit EventQueue(FakeClock* clock) : clock_(clock) {}

  void At(TimePoint time, std::function<void()> event) {
    events_.push({time, next_++, std::move(event)});
  }
  TimePoint now() const { return clock_->Now(); }
  // Runs events until `end`; `advance` moves the clock on to each, and alarms ring within it.
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
  // One stream in so many ...
  int stalls_in = 20;  // ... stands still now and then for half a second to a second and a half,
                       // and then sends all that has come up at once
  int fast_in = 50;    // ... is a recording, sent five times as fast as real time
};

struct SimulationOptions {
  SimulatedStreams streams = {};
  // Frames per second that the streams send, divided by what all channels can compute at best.
  double load = 0.8;
  Duration warm_up = std::chrono::milliseconds(500);
  Duration measured = std::chrono::seconds(2);
  // As the measurement begins, one channel fails everything for half of its time, and another does
  // not finish a batch for three seconds.
  bool faults = true;
  SchedulerOptions scheduler = {};
};

struct SimulationResult {
  LatencyHistogram wait;     // from push to batch: the longest of a stream's frames in a batch
  LatencyHistogram latency;  // from push to result, likewise
  int64_t frames = 0;
  int64_t batches = 0;
  int64_t lanes = 0;
  int64_t lanes_offered = 0;   // of the channels, in those batches
  int64_t errors = 0;          // streams that ended
  int refused = 0;             // streams
  Duration scheduler_time{0};  // real, in the scheduler's code
  // Mean waits of single real-time streams that never stall: 1st and 99th percentile, milliseconds.
  double stream_wait_p01_ms = 0;
  double stream_wait_p99_ms = 0;
  double ns_per_frame() const {
    return static_cast<double>(scheduler_time.count()) / static_cast<double>(frames);
  }
};

// 64 channels of 8 cards, and 4 CPU channels of different speed.
SimulationResult Simulate(const SimulationOptions& options);

}  // namespace ese
