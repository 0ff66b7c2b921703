#include "base/clock.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace ese {
namespace {

constexpr TimePoint kNever = TimePoint::max();

class RealAlarm final : public Alarm {
 public:
  RealAlarm(Clock* clock, std::function<void()> ring)
      : clock_(clock), ring_(std::move(ring)), thread_([this] { Run(); }) {}

  ~RealAlarm() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      changed_.notify_one();
    }
    thread_.join();
  }

  void Set(TimePoint at) override {
    const std::lock_guard lock(mutex_);
    if (at >= at_) return;
    at_ = at;
    changed_.notify_one();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (at_ == kNever) {
        changed_.wait(lock);
      } else if (clock_->Now() < at_) {
        changed_.wait_until(lock, at_);
      } else {
        at_ = kNever;
        lock.unlock();
        ring_();
        lock.lock();
      }
    }
  }

  Clock* const clock_;
  const std::function<void()> ring_;
  std::mutex mutex_;
  // Guarded by mutex_:
  TimePoint at_ = kNever;
  bool stopping_ = false;
  std::condition_variable changed_;

  std::thread thread_;  // last: it uses all of the above
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

class FakeClock::FakeAlarm final : public Alarm {
 public:
  FakeAlarm(FakeClock* clock, std::function<void()> ring) : clock_(clock), ring_(std::move(ring)) {
    const std::lock_guard lock(clock_->mutex_);
    clock_->alarms_.push_back(this);
  }

  ~FakeAlarm() override {
    std::unique_lock lock(clock_->mutex_);
    clock_->alarms_.erase(std::find(clock_->alarms_.begin(), clock_->alarms_.end(), this));
    clock_->rung_.wait(lock, [this] { return !ringing_; });
  }

  void Set(TimePoint at) override {
    const std::lock_guard lock(clock_->mutex_);
    at_ = std::min(at_, at);
  }

 private:
  friend class FakeClock;

  FakeClock* const clock_;
  const std::function<void()> ring_;
  // Guarded by the clock's mutex_:
  TimePoint at_ = kNever;
  bool ringing_ = false;
};

TimePoint FakeClock::Now() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

void FakeClock::Advance(Duration by) {
  std::unique_lock lock(mutex_);
  const TimePoint end = now_ + by;
  while (true) {
    FakeAlarm* first = nullptr;
    for (FakeAlarm* alarm : alarms_) {
      if (alarm->ringing_ || alarm->at_ > end) continue;
      if (first == nullptr || alarm->at_ < first->at_) first = alarm;
    }
    if (first == nullptr) break;
    now_ = std::max(now_, first->at_);
    first->at_ = kNever;
    first->ringing_ = true;
    lock.unlock();
    first->ring_();
    lock.lock();
    first->ringing_ = false;
    rung_.notify_all();
  }
  now_ = std::max(now_, end);
}

std::unique_ptr<Alarm> FakeClock::MakeAlarm(std::function<void()> ring) {
  return std::make_unique<FakeAlarm>(this, std::move(ring));
}

}  // namespace ese
