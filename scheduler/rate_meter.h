// SPDX-License-Identifier: Apache-2.0
// The recent rate of events.
#pragma once

#include "base/clock.h"

namespace ese {

// Counts events in fixed windows of time. The results cover the last window-long interval; events
// of the previous window are taken as evenly spread over it. Not thread-safe.
class RateMeter {
 public:
  explicit RateMeter(Duration window) : window_(window) {}

  void Add(double events, TimePoint now) {
    MoveTo(now);
    current_ += events;
  }
  // How many events the last window-long interval had.
  double Count(TimePoint now) {
    MoveTo(now);
    const double passed = ToSeconds(now - start_) / ToSeconds(window_);
    return current_ + previous_ * (1 - passed);
  }
  // The sum over these events, each weighted by the part of that interval that had passed before
  // the event. If each event is the opening of a stream that sends one frame per window, the sum is
  // how many of the streams' frames a meter that counts frames does not show yet.
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
