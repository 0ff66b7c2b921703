// SPDX-License-Identifier: Apache-2.0
// Whether a server that is busy should take one more stream.
#pragma once

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/decaying_average.h"
#include "scheduler/processor_use.h"
#include "scheduler/rate_meter.h"

namespace ese {

// Refuses a new stream if those already open would suffer, by any of three signs:
//   - demand: the frames that streams needed in the last second, and what those opened in that
//     second have not sent of a real-time stream's frames yet, would exceed max_load of what the
//     channels can compute with full lanes;
//   - processors: what the process used of its processors in the last quarter of a second, and what
//     streams opened in that time have yet to need, would exceed kMostUse. This sees what the
//     channels' costs do not tell: all that a chunk costs beside the kernels;
//   - waits: the streams' frames have been waiting for over half of the target latency, in the
//     scheduler and before that (see StreamOptions), averaged over about a quarter of a second.
//     This also sees processors that other processes use.
// Of the last two it goes on to refuse until the sign has fallen well below that (hysteresis), or
// each stream that ends would let in one that makes the others wait again.
//
// A stream that sends faster than real time takes what is left over: its frames beyond that count
// neither as demand nor as waiting, or a few such streams would keep all others out.
// Not thread-safe.
class Admission {
 public:
  static constexpr double kMostUse = 0.95;  // of the processors
  static constexpr double kUseToReopen = 0.9;

  // max_load 0 admits all. `processors` may be null, and must outlive it.
  Admission(double max_load, Duration target_latency, double stream_frames_per_second,
            const ProcessorBudget* processors);

  // A stream was opened.
  void Opened(TimePoint now);
  // A batch was computed: so many frames, of which so many were those of streams in real time
  // (RealTimeCredit); and of streams with no others, the longest wait.
  void Taken(TimePoint now, int frames, int real_time_frames, Duration wait);

  // The demand as a part of the channels' capacity in frames per second.
  double Load(TimePoint now, double capacity);
  // What the streams that are open need of the processors.
  double Use(TimePoint now);
  // Averaged, of streams in real time.
  Duration Wait(TimePoint now) const;
  // OK, or UNAVAILABLE with what is amiss and a hint when to try again. A capacity of 0 has not
  // been measured yet: no reason to refuse. `upstream`: how long frames wait before they are here.
  absl::Status Check(TimePoint now, double capacity, Duration upstream = Duration(0));

 private:
  // A sign that has risen above one level stands until it has fallen below another.
  class Latch {
   public:
    bool Stands(double value, double above, double below) {
      stands_ = value > (stands_ ? below : above);
      return stands_;
    }

   private:
    bool stands_ = false;
  };

  void LearnCost(TimePoint now, double share);

  const double max_load_;
  const Duration target_latency_;
  const double stream_frames_per_second_;
  RateMeter frames_;  // in real time
  RateMeter opened_;
  DecayingAverage wait_ns_;
  Latch long_waits_;

  ProcessorUse use_;
  RateMeter use_frames_;  // of use_'s window: all frames, those in real time, streams opened
  RateMeter use_real_time_frames_;
  RateMeter use_opened_;
  DecayingAverage frame_cost_;  // of the processors' time, in seconds a frame; 0: not known
  Latch full_use_;

  int refusals_ = 0;
};

}  // namespace ese
