// SPDX-License-Identifier: Apache-2.0
// Decides whether a busy server should accept another stream.
#pragma once

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/decaying_average.h"
#include "scheduler/processor_use.h"
#include "scheduler/rate_meter.h"

namespace ese {

// Refuses a new stream if the open ones would suffer. There are three signs, and one is enough:
//   - demand: the frames that streams needed in the last second, plus those still expected from the
//     streams opened in that second, plus those of the new stream, exceed max_load times what the
//     channels can compute in a second with full lanes.
//   - processors: the share of the processors that the process used for real-time frames in the
//     last quarter of a second, plus the share that the streams opened in that time have yet to
//     use, exceeds kMostUse. This sign sees what the channels' costs do not include: everything
//     that a chunk costs outside the kernels.
//   - waits: frames have waited for more than half of the target latency, in the scheduler and
//     before it (see StreamOptions), averaged over about a quarter of a second. This sign also sees
//     processors that other processes use.
// After one of the last two signs, it refuses until the sign has fallen well below its limit
// (hysteresis). Otherwise each stream that ends would let in one that makes the others wait again.
//
// A stream that sends faster than real time gets what is left over. Its frames beyond real time
// count neither as demand nor as waiting, or a few such streams would keep all others out.
// Not thread-safe.
class Admission {
 public:
  static constexpr double kMostUse = 0.95;  // share of the processors
  static constexpr double kUseToReopen = 0.9;

  // max_load 0 admits every stream. `processors` may be null, and must outlive this object.
  Admission(double max_load, Duration target_latency, double stream_frames_per_second,
            const ProcessorBudget* processors);

  // A stream was opened.
  void Opened(TimePoint now);
  // A batch of this many frames was computed; real_time_frames of them were real-time frames
  // (RealTimeCredit). `wait` is the longest wait among the streams whose frames in the batch were
  // all real-time frames.
  void Taken(TimePoint now, int frames, int real_time_frames, Duration wait);

  // The demand as a share of the channels' capacity, which is in frames per second.
  double Load(TimePoint now, double capacity);
  // The share of the processors that the open streams need.
  double Use(TimePoint now);
  // The average wait of real-time frames.
  Duration Wait(TimePoint now) const;
  // OK, or UNAVAILABLE with the reason and a hint when to try again. A capacity of 0 means that it
  // has not been measured, which is no reason to refuse. `upstream` is how long frames wait before
  // they reach the scheduler.
  absl::Status Check(TimePoint now, double capacity, Duration upstream = Duration(0));

 private:
  // Becomes true when the value exceeds `above`, and stays true until it drops to `below`.
  class Latch {
   public:
    bool Holds(double value, double above, double below) {
      limit_ = holds_ ? below : above;
      holds_ = value > limit_;
      return holds_;
    }
    // What the value was compared with in the last call of Holds.
    double limit() const { return limit_; }

   private:
    bool holds_ = false;
    double limit_ = 0;
  };

  void LearnCost(TimePoint now, double share);

  const double max_load_;
  const Duration target_latency_;
  const double stream_frames_per_second_;
  RateMeter frames_;  // real-time frames
  RateMeter opened_;
  DecayingAverage wait_ns_;
  Latch long_waits_;

  ProcessorUse use_;
  // Within the window of use_: all frames, real-time frames, and streams opened.
  RateMeter use_frames_;
  RateMeter use_real_time_frames_;
  RateMeter use_opened_;
  DecayingAverage frame_cost_;  // share of the processors for one frame a second; 0: unknown
  Latch full_use_;

  int refusals_ = 0;
};

}  // namespace ese
