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

// The times of a run, which its main thread sets and its shards follow.
struct LoadSchedule {
  TimePoint open_from;  // streams are opened from then on, over
  Duration ramp{0};     // this time; if 0, at once, and they speak from `speak_from` on,
  std::atomic<TimePoint> speak_from{TimePoint::max()};  // else as soon as they are opened.
  std::atomic<TimePoint> speak_until{TimePoint::max()};
  std::atomic<bool> accept_late{true};  // false: who is not accepted by now is given up
  Duration cut_every{0};                // while they speak; 0: never
  Duration timeout;                     // of an answer, and after the end
  int streams;                          // of all shards
  uint64_t seed;
};

class LoadShard {
 public:
  // Streams first, first + step, ... below schedule->streams. Pointers must outlive the shard.
  LoadShard(int first, int step, const LoadSchedule* schedule, const LoadBehaviour* behaviour,
            const LoadSource* source, LoadTally* tally, std::vector<std::string> addresses,
            int connections);
  ~LoadShard();

  // Runs until every stream has ended, which is soon after `timeout` after speak_until.
  void Run();

  // After Run.
  const std::vector<std::unique_ptr<LoadStream>>& streams() const { return streams_; }

 private:
  // Does what is due; returns when the next is.
  TimePoint FireTimers();
  void Fire(const LoadTimers::Timer& timer, TimePoint now);
  // Follows the main thread's words, every kPollTime.
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

  bool told_to_speak_ = false;  // where the ramp has not done that
  bool late_given_up_ = false;
  bool finished_ = false;  // the contents have ended
  TimePoint give_up_at_ = TimePoint::max();
  TimePoint next_check_;  // for streams without answers
  TimePoint next_cut_ = TimePoint::max();
};

}  // namespace ese
