// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <thread>
#include <utility>

#include "base/mutex.h"

namespace ese {
namespace {

constexpr TimePoint kNever = TimePoint::max();

class RealAlarm final : public Alarm {
 public:
  RealAlarm(Clock* clock, std::function<void()> ring)
      : clock_(clock), ring_(std::move(ring)), thread_([this] { Run(); }) {}

  ~RealAlarm() override {
    {
      const MutexLock lock(mutex_);
      stopping_ = true;
      changed_.NotifyOne();
    }
    thread_.join();
  }

  void Set(TimePoint at) override {
    const MutexLock lock(mutex_);
    if (at >= at_) return;
    at_ = at;
    changed_.NotifyOne();
  }

 private:
  void Run() {
    MutexLock lock(mutex_);
    while (!stopping_) {
      if (at_ == kNever) {
        changed_.Wait(mutex_);
      } else if (clock_->Now() < at_) {
        changed_.WaitUntil(mutex_, at_);
      } else {
        at_ = kNever;
        lock.Unlock();
        ring_();
        lock.Lock();
      }
    }
  }

  Clock* const clock_;
  const std::function<void()> ring_;
  Mutex mutex_;
  TimePoint at_ ABSL_GUARDED_BY(mutex_) = kNever;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  CondVar changed_;  // at_ or stopping_ has changed

  std::thread thread_;  // last, because it uses all of the above
};

class RealClock final : public Clock {
 public:
  TimePoint Now() const override {
    return std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now());
  }
  std::unique_ptr<Alarm> MakeAlarm(std::function<void()> ring) override {
    return std::make_unique<RealAlarm>(this, std::move(ring));
  }
};

}  // namespace

Clock* Clock::Real() {
  static RealClock clock;
  return &clock;
}

}  // namespace ese
