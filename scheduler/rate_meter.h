// SPDX-License-Identifier: Apache-2.0
// Events per second, of late.
#pragma once

#include "base/clock.h"

namespace ese {

// Counts in windows; the rate is that of the last window's length of time, taking the events of the
// window before as evenly spread. Not thread-safe.
class RateMeter {
 public:
  explicit RateMeter(Duration window) : window_(window) {}

  void Add(double events, TimePoint now) {
    MoveTo(now);
    current_ += events;
  }
  // In the last window's length of time.
  double Count(TimePoint now) {
    MoveTo(now);
    const double passed = ToSeconds(now - start_) / ToSeconds(window_);
    return current_ + previous_ * (1 - passed);
  }
  // Each event of the last window's length of time by the part of that time which was before it: of
  // streams that need a frame a window from when they open, the frames that a meter of their frames
  // does not show yet.
  double Outstanding(TimePoint now) {
    MoveTo(now);
    const double passed = ToSeconds(now - start_) / ToSeconds(window_);
    return current_ * (1 - passed / 2) + previous_ * (1 - passed) * (1 - passed) / 2;
  }
  double PerSecond(TimePoint now) { return Count(now) / ToSeconds(window_); }

 private:
  void MoveTo(TimePoint now) {
    if (now < start_ + window_) return;
    const auto windows = (now - start_) / window_;
    previous_ = windows == 1 ? current_ : 0;
    current_ = 0;
    start_ += windows * window_;
  }

  const Duration window_;
  TimePoint start_{};
  double current_ = 0;
  double previous_ = 0;
};

}  // namespace ese
