// SPDX-License-Identifier: Apache-2.0
// Bounds how many connections are accepted in a second.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace ese {

// Allows `rate` events a second, of which up to `rate` may come at once after a pause. Not
// thread-safe.
class AcceptRate {
 public:
  AcceptRate(double rate, TimePoint now) : rate_(rate), allowed_(rate), at_(now) {}

  // True if an event may happen now. Times must not go back.
  bool Allows(TimePoint now) {
    allowed_ = std::min(rate_, allowed_ + rate_ * ToSeconds(now - at_));
    at_ = now;
    return allowed_ >= 1;
  }
  void Count() { allowed_ -= 1; }

 private:
  const double rate_;
  double allowed_;
  TimePoint at_;
};

}  // namespace ese
