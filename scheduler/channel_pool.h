// Which channel takes the next batch, and what happens to channels that fail.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "accel/backend.h"
#include "base/clock.h"

namespace ese {

// The channel idle for longest goes first. One that failed rests, at first for kFirstRest and twice
// as long after each further failure in a row, up to kLongestRest: it gets no batch while another
// channel is in order. Where none is, resting is no help, and it may try again at once, but after
// kFailuresToStop failures in a row it must rest in any case. So a broken channel cannot spin,
// costs the others little, and comes back by itself once it works again. Not thread-safe.
class ChannelPool {
 public:
  static constexpr int kFailuresToStop = 3;
  static constexpr Duration kFirstRest = std::chrono::milliseconds(100);
  static constexpr Duration kLongestRest = std::chrono::seconds(60);
  static constexpr int kNone = -1;

  // REQUIRES: at least one channel.
  explicit ChannelPool(std::vector<std::unique_ptr<Channel>> channels);

  int size() const { return static_cast<int>(slots_.size()); }
  Channel& channel(int i) const { return *slots_[i].channel; }

  // The channel that should take a batch now, which is the caller's until Release; kNone if there
  // is none.
  int Acquire(TimePoint now);
  // REQUIRES: i is acquired. An error counts as a failure of the channel.
  void Release(int i, const absl::Status& outcome, TimePoint now);
  // Channels that have not stopped: a stopped one rests after kFailuresToStop or more failures.
  int working(TimePoint now) const;
  // How long channel i rests from its last failure on.
  Duration Rest(int i) const;
  // The latest error that any channel was released with.
  const absl::Status& last_error() const { return last_error_; }

 private:
  struct Slot {
    std::unique_ptr<Channel> channel;
    bool busy = false;
    int failures = 0;  // in a row
    TimePoint rests_until{};
    uint64_t released = 0;  // a count of releases: the smallest has been idle for longest
  };

  template <typename Condition>
  int LongestIdle(Condition usable) const;

  std::vector<Slot> slots_;
  uint64_t releases_ = 0;
  absl::Status last_error_;
};

}  // namespace ese
