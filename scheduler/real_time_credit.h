// SPDX-License-Identifier: Apache-2.0
// Which of a stream's frames are those of a stream in real time, and which are beyond.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace ese {

// A stream may need so many frames a second, and what it left of the last second. Frames beyond
// that are those of a stream that sends faster than it speaks, and takes what is left over. Not
// thread-safe.
class RealTimeCredit {
 public:
  explicit RealTimeCredit(double frames_per_second)
      : frames_per_second_(frames_per_second), left_(frames_per_second) {}

  // Of so many frames that are computed now, those in real time.
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
