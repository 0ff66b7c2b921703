// SPDX-License-Identifier: Apache-2.0
// Runs batches on channels and looks after the channels: it tests new and failed channels with
// batches whose results are known, gives up batches that are overdue, and says which channels work.
// channel_pool.h has the rules by which a channel fails and recovers.
//
// A batch that is overdue is given up: its streams continue on other channels with copies of their
// states. Its channel gets no other batch. When the channel completes the batch after all, nobody
// needs the results, and the supervisor only tests the channel.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "scheduler/batch_run.h"
#include "scheduler/channel_pool.h"
#include "scheduler/known_answer.h"
#include "scheduler/scheduler.h"
#include "scheduler/scheduler_metrics.h"

namespace ese {

// Thread-safe.
//
// Locks: no lock is held while a batch is submitted or a Client is called. Members marked "No
// locks" call channels or the Client, so the caller must hold no lock. The others may be called
// under the caller's own lock.
class ChannelSupervisor {
 public:
  // Learns what became of the batches. Exactly one of OnCompleted, OnRefused and OnOverdue is
  // called for each Submit; the run carries streams, never a test. Calls come from a channel's
  // thread, from the alarm's, or from within Submit and StartTests.
  class Client {
   public:
    virtual ~Client() = default;
    // The channel has completed the batch, with this status. The client must call Release or Fail.
    virtual void OnCompleted(const std::shared_ptr<BatchRun>& run, const absl::Status& status) = 0;
    // The channel did not accept the batch. The client must call Fail.
    virtual void OnRefused(const std::shared_ptr<BatchRun>& run, const absl::Status& error) = 0;
    // The batch is given up, but its channel may go on reading and writing the lanes' buffers and
    // states.
    virtual void OnOverdue(const std::shared_ptr<BatchRun>& run, const absl::Status& error) = 0;
    // A test batch has ended, so a channel may have become free, or the last one may have stopped.
    virtual void OnTested() = 0;
  };

  // A channel that could execute a batch now.
  struct FreeChannel {
    int channel = 0;
    int max_lanes = 0;
    ChannelCost cost;
  };

  // `options`, `clock`, `metrics` (may be null) and `client` must outlive this object.
  // REQUIRES: at least one channel.
  ChannelSupervisor(std::shared_ptr<const Model> model,
                    std::vector<std::unique_ptr<Channel>> channels, const SchedulerOptions* options,
                    Clock* clock, SchedulerMetrics* metrics, Client* client);

  // Begins to test the channels. `alarm` must outlive the last batch; whenever it rings, call
  // GiveUpOverdue, StartTests and then SetAlarm. Call once, before any other member. No locks.
  void Start(Alarm* alarm);
  // Waits until all batches have ended and their Client calls have returned. No test starts
  // afterwards. No locks.
  void Stop();

  // The free channel that is expected to finish a batch of this many lanes first, or nothing if no
  // channel is free.
  std::optional<FreeChannel> Fastest(int lanes) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes a free channel and returns a run for it, whose batch is empty. The caller fills the run,
  // including `steps` and `expected`, and submits it.
  std::shared_ptr<BatchRun> Acquire(int channel) ABSL_LOCKS_EXCLUDED(mutex_);
  // Runs the batch. No locks.
  void Submit(std::shared_ptr<BatchRun> run) ABSL_LOCKS_EXCLUDED(mutex_);

  // The channel has computed a batch of this many steps and frames in this time, and is free.
  void Release(int channel, int steps, int frames, Duration took) ABSL_LOCKS_EXCLUDED(mutex_);
  // The channel has failed or refused a batch.
  void Fail(int channel, const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex_);

  // Starts the tests of channels that have rested for long enough. No locks.
  void StartTests() ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives up all batches that are overdue. No locks.
  void GiveUpOverdue() ABSL_LOCKS_EXCLUDED(mutex_);
  // Sets the alarm to the next time at which a batch is overdue or a channel has rested.
  void SetAlarm() ABSL_LOCKS_EXCLUDED(mutex_);

  // See Scheduler.
  int working() const ABSL_LOCKS_EXCLUDED(mutex_);
  int proven() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Frames per second that the working channels compute with full lanes; 0 if not yet measured.
  double Capacity() const ABSL_LOCKS_EXCLUDED(mutex_);
  // What a stream ends with when no channel works.
  absl::Status NoChannelError() const ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string& name(int channel) const { return channels_[channel]->name(); }
  // Null if there are no metrics.
  const ChannelMetrics* metrics(int channel) const {
    return channel_metrics_.empty() ? nullptr : &channel_metrics_[channel];
  }

 private:
  // The run that a channel executes.
  struct Execution {
    std::shared_ptr<BatchRun> run;  // null if there is none, or if it was given up
    TimePoint overdue;              // when the run will be given up
  };

  void Submitted(const std::shared_ptr<BatchRun>& run) ABSL_LOCKS_EXCLUDED(mutex_);
  void Complete(std::shared_ptr<BatchRun> run, const absl::Status& status);
  void CompleteTest(std::shared_ptr<BatchRun> run, absl::Status status);
  void CompleteLate(std::shared_ptr<BatchRun> run) ABSL_LOCKS_EXCLUDED(mutex_);
  // True: the caller owns the run, which can no longer be given up. False: it had been given up
  // already.
  bool TakeBack(const std::shared_ptr<BatchRun>& run) ABSL_LOCKS_EXCLUDED(mutex_);
  void RunEnded() ABSL_LOCKS_EXCLUDED(mutex_);

  std::shared_ptr<BatchRun> MakeTest(int channel) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PrepareTest(BatchRun* run) const;
  // Judges a test and returns true if another test batch follows. Sets *failures to the channel's
  // failures in a row before this test.
  bool JudgeTest(BatchRun* run, const absl::Status& status, int* failures)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void LogTest(int channel, int failures, const absl::Status& status) const;
  void FailLocked(int channel, const absl::Status& error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ShowWorking() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status OverdueError(int channel) const;

  const std::shared_ptr<const Model> model_;
  const std::vector<Channel*> channels_;  // those of pool_, whose pointers never change
  const SchedulerOptions& options_;
  Clock* const clock_;
  SchedulerMetrics* const metrics_;              // may be null
  std::vector<ChannelMetrics> channel_metrics_;  // one for each channel, if there are metrics
  Client* const client_;
  const KnownAnswer known_answer_;
  BatchRunPool runs_;
  Alarm* alarm_ = nullptr;

  mutable Mutex mutex_;
  std::vector<Execution> executing_ ABSL_GUARDED_BY(mutex_);  // one for each channel
  int in_flight_ ABSL_GUARDED_BY(mutex_) = 0;                 // runs for which RunEnded is due
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  CondVar all_ended_;  // in_flight_ is 0
  // Last, because the threads of its channels use all of the above.
  ChannelPool pool_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
