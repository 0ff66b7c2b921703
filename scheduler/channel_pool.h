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

// A channel's phases:
//
//   testing --passed--> free <------> busy
//    |   ^                             |  \  its batch is overdue
//    |   | rested                fails |   v
//    +---+--- resting <----------------+  hung: rests when it finally returns its batch
//
// A channel gets batches of streams only after it has computed test batches, whose results are
// known, as the reference does. It is tested at the start and after each failure. The first test
// after a failure comes at once. If that test or the next batch of streams fails as well, the
// channel rests for kFirstRest, then twice as long each time, up to kLongestRest. So a broken
// channel costs the others little, and it returns by itself once it works again.
//
// Channels that share an executor (Channel::executor) share its capacity, and each is slower while
// others of the executor have a batch. Not thread-safe.
class ChannelPool {
 public:
  // After this many failures in a row, a channel does not count as working until it passes a test.
  static constexpr int kFailuresToStop = 3;
  static constexpr Duration kFirstRest = std::chrono::milliseconds(100);
  static constexpr Duration kLongestRest = std::chrono::seconds(60);
  static constexpr int kNone = -1;

  // All channels begin in the testing phase; see Pass and Fail. REQUIRES: at least one channel.
  explicit ChannelPool(std::vector<std::unique_ptr<Channel>> channels);

  int size() const { return static_cast<int>(slots_.size()); }
  Channel& channel(int i) const { return *slots_[i].channel; }
  ChannelCost& cost(int i) { return slots_[i].cost; }
  const ChannelCost& cost(int i) const { return slots_[i].cost; }

  // The free channel that is expected to finish a batch of this many lanes first; among equals, the
  // one that has been idle for longest. kNone if no channel is free.
  int Fastest(int lanes) const;

  // From free to busy.
  void Acquire(int i);
  // From busy to free.
  void Release(int i);
  // From busy, testing or hung to resting, beginning now.
  void Fail(int i, const absl::Status& error, TimePoint now);
  // Failures of channel i in a row since it last computed a batch of streams.
  int failures(int i) const { return slots_[i].failures; }
  // From busy or testing to hung.
  void Hang(int i, const absl::Status& error);
  // Moves a channel that has rested for long enough to testing and returns it; kNone if there is
  // none.
  int StartTest(TimePoint now);
  // From testing to free.
  void Pass(int i);

  // When the next rest ends; TimePoint::max() if no channel rests.
  TimePoint NextTest() const;
  // How many channels are neither hung nor stopped by kFailuresToStop failures. This includes
  // channels that have not been tested yet.
  int working() const { return working_; }
  // How many of the working channels have passed a test.
  int proven() const;
  // Frames per second that the working channels compute with full lanes and this many steps. For
  // each executor only its fastest channel counts. 0 until a channel has been measured.
  double Capacity(int steps) const;
  // The latest error of any channel.
  const absl::Status& last_error() const { return last_error_; }

 private:
  enum class Phase { kTesting, kFree, kBusy, kResting, kHung };
  struct Slot {
    std::unique_ptr<Channel> channel;
    int executor = 0;  // index in at_work_
    Phase phase = Phase::kTesting;
    int failures = 0;  // in a row
    bool proven = false;
    TimePoint rests_until{};
    uint64_t released = 0;  // value of releases_ when last freed; the smallest is idle for longest
    ChannelCost cost{};
  };

  static bool Works(const Slot& slot);
  static bool IsAtWork(Phase phase);
  void SetPhase(Slot* slot, Phase phase);
  void SetFree(Slot* slot);
  void CountWorking();

  std::vector<Slot> slots_;
  std::vector<int> at_work_;  // for each executor: its channels that have a batch
  int free_ = 0;
  int working_ = 0;
  uint64_t releases_ = 0;
  absl::Status last_error_;
};

}  // namespace ese
