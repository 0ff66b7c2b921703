// SPDX-License-Identifier: Apache-2.0
// An exponentially decaying average of values over time.
#pragma once

#include <cmath>

#include "base/clock.h"

namespace ese {

// Each value counts for the time since the previous value. The weight of a value falls by a factor
// of e for every `time` that passes. Not thread-safe.
class DecayingAverage {
 public:
  explicit DecayingAverage(Duration time) : time_(time) {}

  void Add(double value, TimePoint now) {
    const double kept = Kept(now);
    value_ = kept * value_ + (1 - kept) * value;
    at_ = now;
  }
  // The average at the time of the last value.
  double value() const { return value_; }
  // The average now, as if the value had been 0 since the last Add.
  double Decayed(TimePoint now) const { return Kept(now) * value_; }

 private:
  double Kept(TimePoint now) const { return std::exp(-ToSeconds(now - at_) / ToSeconds(time_)); }

  Duration time_;
  TimePoint at_{};
  double value_ = 0;
};

}  // namespace ese
