// SPDX-License-Identifier: Apache-2.0
// Time comes from an injected clock, so that tests of deadlines and time-outs need not sleep.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace ese {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// Seconds as a floating-point number, as Prometheus expects them.
inline double ToSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// Rings once, at or soon after the earliest of the times that were set since it last rang. It never
// rings twice at the same time. Thread-safe.
class Alarm {
 public:
  // If `ring` is running, waits until it has returned. Afterwards `ring` is not called any more.
  // Must not be called from within `ring`.
  virtual ~Alarm() = default;
  // Cheap if an earlier time is already set. May be called from within `ring`.
  virtual void Set(TimePoint at) = 0;
};

// A monotonic clock. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;
  // Returns an alarm that calls `ring` without holding a lock of the clock. The clock must outlive
  // the alarm.
  virtual std::unique_ptr<Alarm> MakeAlarm(std::function<void()> ring) = 0;

  // The system's steady clock, which is never destroyed. Each of its alarms has its own thread.
  static Clock* Real();
};

}  // namespace ese
