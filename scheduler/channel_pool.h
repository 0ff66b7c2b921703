// SPDX-License-Identifier: Apache-2.0
// Which channel takes the next batch, and what happens to channels that fail.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "accel/backend.h"
#include "base/clock.h"
#include "scheduler/channel_cost.h"

namespace ese {

// A channel's way:
//
//   testing --passed--> free <------> busy
//    |   ^                             |  \  overruns
//    |   | rested                fails |   v
//    +---+--- resting <----------------+  hung: comes to rest when it returns its batch at last
//
// It gets batches of streams only after it has computed test batches, whose results are known, as
// the reference does: at the start, and after each failure. The first test after a failure comes at
// once; if that fails, too, or the next batch of streams, the channel rests for kFirstRest, then
// twice as long each time, up to kLongestRest. So a broken channel costs the others little, and
// comes back by itself once it works again. Channels that share an executor (Channel::executor)
// have its capacity once, and are slower while others of it are at work. Not thread-safe.
class ChannelPool {
 public:
  // After so many failures in a row a channel does not count as working until it passes a test.
  static constexpr int kFailuresToStop = 3;
  static constexpr Duration kFirstRest = std::chrono::milliseconds(100);
  static constexpr Duration kLongestRest = std::chrono::seconds(60);
  static constexpr int kNone = -1;

  // All are testing: see Pass and Fail. REQUIRES: at least one channel.
  explicit ChannelPool(std::vector<std::unique_ptr<Channel>> channels);

  int size() const { return static_cast<int>(slots_.size()); }
  Channel& channel(int i) const { return *slots_[i].channel; }
  ChannelCost& cost(int i) { return slots_[i].cost; }

  // The free channel that is expected to have a batch of so many lanes done soonest, or of equals
  // the one idle for longest; kNone if none is free.
  int Fastest(int lanes) const;

  // Free to busy.
  void Acquire(int i);
  // Busy to free.
  void Release(int i);
  // Busy, testing or hung to resting, from now on.
  void Fail(int i, const absl::Status& error, TimePoint now);
  // Failures of channel i in a row, since a batch of streams was computed.
  int failures(int i) const { return slots_[i].failures; }
  // Busy or testing to hung.
  void Hang(int i, const absl::Status& error);
  // A channel that has rested, to testing; kNone if there is none.
  int StartTest(TimePoint now);
  // Testing to free.
  void Pass(int i);

  // When the next rest ends; TimePoint::max() if none rests.
  TimePoint NextTest() const;
  // Channels that work, or may be expected to after a test: not hung, and not stopped.
  int working() const { return working_; }
  // Those of them that have passed a test.
  int proven() const;
  // Frames per second of the working channels with full lanes, of each executor the fastest's; 0
  // until one has been measured.
  double Capacity(int steps) const;
  // The latest error of any channel.
  const absl::Status& last_error() const { return last_error_; }

 private:
  enum class Phase { kTesting, kFree, kBusy, kResting, kHung };
  struct Slot {
    std::unique_ptr<Channel> channel;
    int executor = 0;  // in at_work_
    Phase phase = Phase::kTesting;
    int failures = 0;  // since a batch of streams was computed
    bool proven = false;
    TimePoint rests_until{};
    uint64_t released = 0;  // a count of releases: the smallest has been idle for longest
    ChannelCost cost{};
  };

  static bool Works(const Slot& slot);
  static bool IsAtWork(Phase phase);
  void SetPhase(Slot* slot, Phase phase);
  void SetFree(Slot* slot);
  void CountWorking();

  std::vector<Slot> slots_;
  std::vector<int> at_work_;  // of each executor: channels that have a batch in hand
  int free_ = 0;
  int working_ = 0;
  uint64_t releases_ = 0;
  absl::Status last_error_;
};

}  // namespace ese
