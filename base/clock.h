// SPDX-License-Identifier: Apache-2.0
// Time is injected, so that tests of deadlines and time-outs need no sleep.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

namespace ese {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// Seconds as Prometheus wants them.
inline double ToSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// Rings once, at or soon after the earliest of the times that were set since it last rang. Rings
// are never concurrent. Thread-safe.
class Alarm {
 public:
  // Waits for a ring that is going on; after that there is none. Not from within the ring.
  virtual ~Alarm() = default;
  // Cheap where an earlier time is set already. May be called from within the ring.
  virtual void Set(TimePoint at) = 0;
};

// A monotonic clock. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;
  // An alarm that calls `ring`, with no lock of the clock's held. The clock must outlive it.
  virtual std::unique_ptr<Alarm> MakeAlarm(std::function<void()> ring) = 0;

  // The system's steady clock; lives for ever. Each of its alarms has a thread of its own.
  static Clock* Real();
};

}  // namespace ese
