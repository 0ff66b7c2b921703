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
// Locks: this mutex guards the ready queue and the channels, each stream has its own for its frames
// and results. Neither is held while the other is taken, while a batch is filled or submitted, or
// while a callback runs. What happens under this mutex is O(lanes log streams) for a batch.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/channel_pool.h"
#include "scheduler/flight.h"
#include "scheduler/ready_queue.h"
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

  const Model& model() const { return *model_; }
  int open_streams() const;
  int working_channels() const;

 private:
  using StreamList = std::vector<std::shared_ptr<StreamRecord>>;

  void Enqueue(StreamRecord* stream);
  void Dispatch();
  // The ready streams that fit a free channel and now belong to the flight; null if there are none.
  // If all channels have stopped, the ready streams are moved to *hopeless instead.
  std::shared_ptr<Flight> NextFlight(StreamList* hopeless);
  void Fill(Flight* flight);
  void Launch(std::shared_ptr<Flight> flight);
  void Land(std::shared_ptr<Flight> flight, const absl::Status& status);
  // Steps 1 and 2; of a batch that was not even started if !started.
  void Settle(const std::shared_ptr<Flight>& flight, bool started, const absl::Status& status);
  void Count(const Flight& flight, const absl::Status& status);
  void Deliver(StreamRecord* stream);
  void FlightIsOver();
  absl::Status AllStoppedError() const;  // REQUIRES: mutex_

  // Leaves deliveries to errands_: this thread may be in Push.
  void DeliverElsewhere(StreamList streams);
  void RunErrands();

  const std::shared_ptr<const Model> model_;
  const SchedulerOptions options_;
  Clock* const clock_;
  SchedulerMetrics* const metrics_;              // may be null
  std::vector<ChannelMetrics> channel_metrics_;  // of each channel, if metrics_
  FlightPool flights_;

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  ReadyQueue ready_;
  ChannelPool channels_;  // after flights_: its channels' threads end first
  int open_streams_ = 0;
  int in_flight_ = 0;  // batches, until their results have been delivered
  StreamList undelivered_;
  bool stopping_ = false;
  std::condition_variable landed_;  // in_flight_ is 0
  std::condition_variable errand_;  // undelivered_ or stopping_

  std::thread errands_;  // last: it uses all of the above
};

}  // namespace ese
