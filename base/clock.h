// Time is injected, so that tests of deadlines and time-outs need no sleep.
#pragma once

#include <atomic>
#include <chrono>

namespace ese {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// Seconds as Prometheus wants them.
inline double ToSeconds(Duration d) { return std::chrono::duration<double>(d).count(); }

// A monotonic clock. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint Now() const = 0;

  // The system's steady clock; lives for ever.
  static Clock* Real();
};

// A clock that moves only when told to. Thread-safe.
class FakeClock final : public Clock {
 public:
  TimePoint Now() const override { return TimePoint(Duration(nanoseconds_.load())); }
  void Advance(Duration by) { nanoseconds_ += by.count(); }

 private:
  std::atomic<int64_t> nanoseconds_{0};
};

}  // namespace ese
