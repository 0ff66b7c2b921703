// SPDX-License-Identifier: Apache-2.0
#include "base/fake_clock.h"

#include <algorithm>
#include <utility>

namespace ese {

class FakeClock::FakeAlarm final : public Alarm {
 public:
  FakeAlarm(FakeClock* clock, std::function<void()> ring) : clock_(clock), ring_(std::move(ring)) {
    const MutexLock lock(clock_->mutex_);
    clock_->alarms_.push_back(this);
  }

  ~FakeAlarm() override {
    MutexLock lock(clock_->mutex_);
    clock_->alarms_.erase(std::find(clock_->alarms_.begin(), clock_->alarms_.end(), this));
    while (ringing_) clock_->rung_.Wait(clock_->mutex_);
  }

  void Set(TimePoint at) override {
    const MutexLock lock(clock_->mutex_);
    at_ = std::min(at_, at);
  }

 private:
  friend class FakeClock;

  FakeClock* const clock_;
  const std::function<void()> ring_;
  // The clock's mutex_ guards both; clang cannot check that, because it does not know that the
  // clock which holds the alarm is the alarm's clock_.
  TimePoint at_ = TimePoint::max();
  bool ringing_ = false;
};

TimePoint FakeClock::Now() const {
  const MutexLock lock(mutex_);
  return now_;
}

void FakeClock::Advance(Duration by) {
  MutexLock lock(mutex_);
  const TimePoint end = now_ + by;
  while (true) {
    FakeAlarm* first = nullptr;
    for (FakeAlarm* alarm : alarms_) {
      if (alarm->ringing_ || alarm->at_ > end) continue;
      if (first == nullptr || alarm->at_ < first->at_) first = alarm;
    }
    if (first == nullptr) break;
    now_ = std::max(now_, first->at_);
    first->at_ = TimePoint::max();
    first->ringing_ = true;
    lock.Unlock();
    first->ring_();
    lock.Lock();
    first->ringing_ = false;
    rung_.NotifyAll();
  }
  now_ = std::max(now_, end);
}

std::unique_ptr<Alarm> FakeClock::MakeAlarm(std::function<void()> ring) {
  return std::make_unique<FakeAlarm>(this, std::move(ring));
}

}  // namespace ese
