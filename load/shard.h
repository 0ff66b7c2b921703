// SPDX-License-Identifier: Apache-2.0
// One thread's share of a load test's streams.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/completion_queue.h"
#include "load/stream.h"

namespace ese {

// The times of a run. The main thread sets them and the shards follow.
struct LoadSchedule {
  // Streams are opened from `open_from` on, spread over `ramp`, and speak as soon as they are open.
  // With a ramp of 0 all are opened at once and speak from `speak_from` on.
  TimePoint open_from;
  Duration ramp{0};
  std::atomic<TimePoint> speak_from{TimePoint::max()};
  std::atomic<TimePoint> speak_until{TimePoint::max()};
  std::atomic<bool> accept_late{true};  // false: give up streams that have not been accepted
  Duration cut_every{0};                // between cuts while streams speak; 0: no cuts
  Duration timeout;                     // for an answer, and for all answers after the end
  int streams;                          // of all shards
  uint64_t seed;
};

class LoadShard {
 public:
  // Runs streams first, first + stride, ... below schedule->streams. Pointers must outlive the
  // shard.
  LoadShard(int first, int stride, const LoadSchedule* schedule, const LoadBehaviour* behaviour,
            const LoadSource* source, LoadTally* tally, std::vector<std::string> addresses,
            int connections, const AccessOptions& access);
  ~LoadShard();

  // Runs until every stream has ended, which is at the latest soon after speak_until + timeout.
  void Run();

  // Call this after Run.
  const std::vector<std::unique_ptr<LoadStream>>& streams() const { return streams_; }

 private:
  // Fires the timers that are due. Returns the time of the next one.
  TimePoint FireTimers();
  void Fire(const LoadTimers::Timer& timer, TimePoint now);
  // Follows the schedule. Called every kPollTime.
  void Poll(TimePoint now);
  void PollEnd(TimePoint now);

  const LoadSchedule& schedule_;
  const LoadSource& source_;
  LoadTally& tally_;
  const Clock& clock_ = *Clock::Real();
  grpc::CompletionQueue queue_;
  LoadConnections connections_;
  LoadTimers timers_;
  int live_ = 0;  // streams
  const LoadEnvironment environment_;
  std::vector<std::unique_ptr<LoadStream>> streams_;

  bool told_to_speak_ = false;  // streams speak, or will when they are opened
  bool late_given_up_ = false;
  bool finished_ = false;  // the content of all streams has ended
  TimePoint give_up_at_ = TimePoint::max();
  TimePoint next_check_;  // for stalled streams
  TimePoint next_cut_ = TimePoint::max();
};

}  // namespace ese
