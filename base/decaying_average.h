// SPDX-License-Identifier: Apache-2.0
// An average over about the last so long.
#pragma once

#include <cmath>

#include "base/clock.h"

namespace ese {

// Each value counts for the time since the one before it; what lies back by `time` counts a factor
// e less. Not thread-safe.
class DecayingAverage {
 public:
  explicit DecayingAverage(Duration time) : time_(time) {}

  void Add(double value, TimePoint now) {
    const double kept = Kept(now);
    value_ = kept * value_ + (1 - kept) * value;
    at_ = now;
  }
  // As of the last value.
  double value() const { return value_; }
  // As if the values had been 0 since.
  double Decayed(TimePoint now) const { return Kept(now) * value_; }

 private:
  double Kept(TimePoint now) const { return std::exp(-ToSeconds(now - at_) / ToSeconds(time_)); }

  Duration time_;
  TimePoint at_{};
  double value_ = 0;
};

}  // namespace ese
