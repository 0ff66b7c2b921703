// SPDX-License-Identifier: Apache-2.0
// Bounds how often something happens.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace ese {

// Allows `rate` units a second, of which up to `burst` may come at once after a pause. Not
// thread-safe.
class RateLimit {
 public:
  RateLimit(double rate, double burst, TimePoint now)
      : rate_(rate), burst_(burst), allowed_(burst), at_(now) {}

  // How many units are allowed now; below 0 if more were counted than allowed. Times must not go
  // back.
  double Left(TimePoint now) {
    allowed_ = std::min(burst_, allowed_ + rate_ * ToSeconds(now - at_));
    at_ = now;
    return allowed_;
  }
  bool Allows(TimePoint now) { return Left(now) >= 1; }
  // Negative `units` give back what was counted before. There are never more left than the burst.
  void Count(double units = 1) { allowed_ = std::min(burst_, allowed_ - units); }
  // Afterwards at least 0 units are left.
  void ForgiveArrears() { allowed_ = std::max(allowed_, 0.0); }

 private:
  double rate_;
  double burst_;
  double allowed_;
  TimePoint at_;
};

}  // namespace ese
