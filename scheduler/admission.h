// Whether a server that is busy should take one more stream.
#pragma once

#include "absl/status/status.h"
#include "base/clock.h"
#include "scheduler/rate_meter.h"

namespace ese {

// Refuses a new stream if those already open would suffer, by either of two signs:
//   - demand: the frames that streams needed in the last second, and a real-time stream's frames
//   for
//     each stream opened in that second, which has not shown yet what it needs, would exceed
//     max_load of what the channels can compute with full lanes;
//   - waits: the streams' frames have been waiting for over half of the target latency, averaged
//     over about a second. This also sees what the channels' costs do not tell, such as a processor
//     that others use.
// A stream that sends faster than it is served takes what is left over; its backlog counts neither
// as demand nor as waiting, or a few such streams would keep all others out.
// Not thread-safe.
class Admission {
 public:
  // max_load 0 admits all.
  Admission(double max_load, Duration target_latency, double stream_frames_per_second);

  // A stream was opened.
  void Opened(TimePoint now) { opened_.Add(1, now); }
  // A batch was taken: so many frames of streams without backlog, of which the longest wait was so
  // long.
  void Taken(TimePoint now, int frames, Duration wait);

  // The demand as a part of the channels' capacity in frames per second.
  double Load(TimePoint now, double capacity);
  // Averaged, of streams without backlog.
  Duration Wait(TimePoint now) const;
  // OK, or UNAVAILABLE with what is amiss and a hint when to try again. A capacity of 0 has not
  // been measured yet: no reason to refuse.
  absl::Status Check(TimePoint now, double capacity);

 private:
  const double max_load_;
  const Duration target_latency_;
  const double stream_frames_per_second_;
  RateMeter frames_;
  RateMeter opened_;
  double wait_ns_ = 0;
  TimePoint waited_at_{};  // when wait_ns_ was last averaged
  int refusals_ = 0;
};

}  // namespace ese
