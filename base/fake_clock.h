// SPDX-License-Identifier: Apache-2.0
// A clock for tests that moves only when the test says so.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"

namespace ese {

// A clock that moves only when told to. Thread-safe.
class FakeClock final : public Clock {
 public:
  TimePoint Now() const override;
  // Alarms that become due ring within this call, earliest first, each at its own time.
  void Advance(Duration by);
  std::unique_ptr<Alarm> MakeAlarm(std::function<void()> ring) override;

 private:
  class FakeAlarm;

  mutable Mutex mutex_;
  TimePoint now_ ABSL_GUARDED_BY(mutex_){};
  std::vector<FakeAlarm*> alarms_ ABSL_GUARDED_BY(mutex_);
  CondVar rung_;  // an alarm has finished ringing
};

}  // namespace ese
