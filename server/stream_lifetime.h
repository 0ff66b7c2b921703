// SPDX-License-Identifier: Apache-2.0
// Limits how long a stream may live. A client that has gone, fallen silent or never sent its config
// must not occupy a stream forever, and a client that streams for days must not stay on one
// replica.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace ese {

struct LifetimeOptions {
  Duration config_timeout = std::chrono::seconds(10);  // from the start of the call to its config
  Duration idle_timeout = std::chrono::minutes(10);    // since a message was last read or written
  Duration max_age = Duration::max();                  // from the start of the call
  // How long a client may take to read the last responses when its stream ends. Then the call is
  // cancelled.
  Duration leave_time = std::chrono::seconds(10);
};

// Not thread-safe.
class StreamLifetime {
 public:
  enum class Verdict { kAlive, kConfigOverdue, kIdle, kTooOld };

  // `options` must outlive this object.
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

  // Returns when to check next: the verdict of a stream that is alive cannot change before then. So
  // an active stream is checked once per idle timeout and not at every message.
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
