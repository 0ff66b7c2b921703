// SPDX-License-Identifier: Apache-2.0
// The scheduler itself: takes ready streams to free channels and results to their callbacks.
//
// Dispatch runs on whichever thread makes a stream ready or a channel free: it fills and submits
// batches until no stream is ready or no channel is free. There is no thread that others must wake.
//
// When a batch is finished (Land), on the channel's thread:
//   1. each stream takes over its new state and keeps its result; with frames waiting it is ready;
//   2. all of those enter the ready queue together, so that the next batches are as full as can be,
//      and the channel is free;
//   3. Dispatch: the channel executes its next batch while
//   4. the results of this one are delivered.
// A stream's next batch may so be finished elsewhere before step 4 has come to it; its results stay
// in order, see stream_record.h.
//
// A batch that is overdue is given up: its streams go on with copies of their states, and when its
// channel completes it after all, nothing is left to be done but to test the channel. A flight is
// in aloft_ from its launch until either of the two, whichever comes first.
//
// The alarm does what must be done at a time, or from another thread than the one at hand: batches
// that have waited long enough for more lanes, overdue ones, tests of channels that have rested,
// and deliveries that a thread may not make because it is in Push.
//
// Locks: this mutex guards the ready queue and the channels, each stream has its own for its frames
// and results. Neither is held while the other is taken, while a batch is filled or submitted, or
// while a callback runs. What happens under this mutex is O(lanes log streams) for a batch.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/admission.h"
#include "scheduler/channel_pool.h"
#include "scheduler/fair_queue.h"
#include "scheduler/flight.h"
#include "scheduler/known_answer.h"
#include "scheduler/rate_meter.h"
#include "scheduler/scheduler.h"
#include "scheduler/scheduler_metrics.h"
#include "scheduler/stream_record.h"

namespace ese {

// Thread-safe.
class SchedulerCore {
 public:
  SchedulerCore(std::shared_ptr<const Model> model, std::vector<std::unique_ptr<Channel>> channels,
                const SchedulerOptions& options, Clock* clock, SchedulerMetrics* metrics);
  ~SchedulerCore();

  // See Scheduler and Scheduler::Stream. REQUIRES: Close exactly once for each Open.
  absl::StatusOr<std::shared_ptr<StreamRecord>> Open(StreamOptions options,
                                                     Scheduler::ResultCallback on_result);
  absl::Status Push(StreamRecord* stream, absl::Span<const int8_t> frames);
  void Close(StreamRecord* stream);

  const Model& model() const { return *commons_.model; }
  int open_streams() const;
  int working_channels() const;
  int proven_channels() const;

 private:
  using StreamList = std::vector<std::shared_ptr<StreamRecord>>;

  // Batches of streams. REQUIRES mutex_: those that say so; the others: not.
  void Dispatch();
  // A batch for a free channel; null if there is none to be made. If no channel works, the ready
  // streams are moved to *hopeless instead.
  std::shared_ptr<Flight> NextFlight(StreamList* hopeless);
  bool WorthWaiting(int channel, TimePoint now);  // for more lanes. REQUIRES: mutex_
  void Board(Flight* flight);                     // REQUIRES: mutex_
  void Fill(Flight* flight);
  void Land(std::shared_ptr<Flight> flight, const absl::Status& status);
  // Steps 1 and 2; also of a batch that its channel refused.
  void Settle(const std::shared_ptr<Flight>& flight, const absl::Status& status);
  // Such a failure is no attempt of the batch's streams.
  static bool BlamesTheChannel(const absl::Status& status) {
    return absl::IsUnavailable(status) || absl::IsDataLoss(status);
  }
  void Count(const Flight& flight, const absl::Status& status);
  void Deliver(StreamRecord* stream);
  void DeliverElsewhere(StreamList streams);

  // All batches.
  void Depart(const std::shared_ptr<Flight>& flight);
  void Launch(std::shared_ptr<Flight> flight);
  // Whether it has not been given up, and cannot be from now on.
  bool Reclaim(const std::shared_ptr<Flight>& flight);
  void FlightIsOver();

  // Channels that are tested, fail, or do not finish.
  void StartTests();
  std::shared_ptr<Flight> TestFlight(int channel);  // REQUIRES: mutex_
  void PrepareTest(Flight* flight);
  void LandTest(std::shared_ptr<Flight> flight, absl::Status status);
  void FailChannel(int channel, const absl::Status& error);  // REQUIRES: mutex_
  // `failures` in a row before this test.
  void LogTest(int channel, int failures, const absl::Status& status);
  void LandLate(std::shared_ptr<Flight> flight);
  void ShowChannels();  // REQUIRES: mutex_
  absl::Status OverrunError(int channel) const;
  void GiveUp(const std::shared_ptr<Flight>& flight);
  void OnAlarm();
  absl::Status NoChannelError() const;  // REQUIRES: mutex_

  Clock* const clock_;
  SchedulerMetrics* const metrics_;              // may be null
  std::vector<ChannelMetrics> channel_metrics_;  // of each channel, if metrics_
  StreamCommons commons_;
  const SchedulerOptions& options_;  // those of commons_
  const KnownAnswer known_answer_;
  FlightPool flights_;

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  FairQueue ready_;
  Admission admission_;
  RateMeter arrivals_;                          // streams that a push has made ready
  std::vector<std::shared_ptr<Flight>> aloft_;  // of each channel
  int open_streams_ = 0;
  int in_flight_ = 0;  // batches, until their results have been delivered
  StreamList undelivered_;
  bool stopping_ = false;
  std::condition_variable landed_;  // in_flight_ is 0
  ChannelPool channels_;            // its channels' threads end before the above

  std::unique_ptr<Alarm> alarm_;
};

}  // namespace ese
