// SPDX-License-Identifier: Apache-2.0
// How long a stream may live: a client that has gone, fallen silent or never began must not hold
// its place for ever, and one that stays for days must not hold its replica.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace ese {

struct LifetimeOptions {
  Duration config_timeout = std::chrono::seconds(10);  // from the call to its config
  Duration idle_timeout = std::chrono::minutes(10);    // with nothing read and nothing written
  Duration max_age = Duration::max();                  // from the call on
  // For a client to take what it is owed when its stream ends; then the call is broken off.
  Duration leave_time = std::chrono::seconds(10);
};

// Not thread-safe.
class StreamLifetime {
 public:
  enum class Verdict { kAlive, kConfigOverdue, kIdle, kTooOld };

  // `options` must outlive it.
  StreamLifetime(const LifetimeOptions* options, TimePoint now)
      : options_(options), begun_(now), active_(now) {}

  void NoteConfig() { configured_ = true; }
  // A message has been read or written.
  void NoteActivity(TimePoint now) { active_ = now; }

  Verdict Check(TimePoint now) const {
    if (!configured_) {
      return now - begun_ >= options_->config_timeout ? Verdict::kConfigOverdue : Verdict::kAlive;
    }
    if (now - active_ >= options_->idle_timeout) return Verdict::kIdle;
    if (now - begun_ >= options_->max_age) return Verdict::kTooOld;
    return Verdict::kAlive;
  }

  // When to judge next: if a stream lives, its verdict is the same until then. So an active stream
  // is looked at once in its idle timeout, not with every message.
  TimePoint NextCheck() const {
    if (!configured_) return Later(begun_, options_->config_timeout);
    return std::min(Later(active_, options_->idle_timeout), Later(begun_, options_->max_age));
  }

 private:
  static TimePoint Later(TimePoint from, Duration by) {
    return by > TimePoint::max() - from ? TimePoint::max() : from + by;
  }

  const LifetimeOptions* options_;
  TimePoint begun_;
  TimePoint active_;
  bool configured_ = false;
};

}  // namespace ese
