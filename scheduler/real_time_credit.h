// SPDX-License-Identifier: Apache-2.0
// Splits a stream's frames into those within the real-time rate and those in excess of it.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace ese {

// A real-time stream needs frames_per_second, and may catch up on frames that it did not send
// within the last second. Frames beyond that come from a stream that sends faster than real time,
// which gets what is left over. Not thread-safe.
class RealTimeCredit {
 public:
  explicit RealTimeCredit(double frames_per_second)
      : frames_per_second_(frames_per_second), left_(frames_per_second) {}

  // Returns how many of `frames`, which are computed now, are real-time frames.
  int Take(int frames, TimePoint now) {
    left_ = std::min(frames_per_second_, left_ + frames_per_second_ * ToSeconds(now - at_));
    at_ = now;
    const int real_time = std::min(frames, static_cast<int>(left_));
    left_ -= real_time;
    return real_time;
  }

 private:
  double frames_per_second_;
  double left_;
  TimePoint at_{};
};

}  // namespace ese
