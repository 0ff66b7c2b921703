// SPDX-License-Identifier: Apache-2.0
// The scheduler itself: it brings ready streams to free channels, and results to callbacks.
//
// The life of a BatchRun (batch_run.h):
//
//   NextRun: PlanBatch, FillLanes        the channel completes it         results delivered
//   -----------------------------> executing -----------------> completed -----------------> pool
//                                   |     |
//             the channel refuses it|     |it is overdue
//                                   v     v
//                             refused     given up, until the channel completes it late ----> pool
//
// A run that is completed or refused returns its streams to the ready queue (FinishLanes). When a
// run is given up, its streams continue at once with copies of their states, and its late results
// are ignored.
//
// Dispatch runs on whichever thread makes a stream ready or a channel free. It fills and submits
// batches until no stream is ready or no channel is free, so there is no scheduler thread to wake.
//
// When a channel completes a batch, on the channel's thread:
//   1. each stream takes over its new state and keeps its result; a stream with waiting frames is
//      ready again;
//   2. all of these enter the ready queue together, so that the next batches are as full as
//      possible, and the channel becomes free;
//   3. Dispatch submits the channel's next batch, and while the channel executes it
//   4. the results of this batch are delivered.
// So a stream's next batch may be completed on another channel before step 4 reaches the stream.
// The stream's results still stay in order (stream_record.h).
//
// The alarm does what must happen at a certain time, or on another thread: it sends batches that
// have waited long enough for more lanes, gives up overdue ones, tests channels that have rested,
// and delivers results that a thread may not deliver because it is inside Push.
//
// Locks: this mutex guards the ready queue and admission, ChannelSupervisor has one for the
// channels, and each stream has its own for its frames and results. Lock order: this mutex, then
// the supervisor's. No other two of these are ever held together, and none is held while a batch is
// submitted or a callback runs. The work under this mutex is O(lanes log streams) for each batch.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "scheduler/admission.h"
#include "scheduler/batch_run.h"
#include "scheduler/channel_supervisor.h"
#include "scheduler/fair_queue.h"
#include "scheduler/rate_meter.h"
#include "scheduler/scheduler.h"
#include "scheduler/scheduler_metrics.h"
#include "scheduler/stream_record.h"

namespace ese {

// Thread-safe.
class SchedulerCore final : private ChannelSupervisor::Client {
 public:
  SchedulerCore(std::shared_ptr<const Model> model, std::vector<std::unique_ptr<Channel>> channels,
                const SchedulerOptions& options, Clock* clock, SchedulerMetrics* metrics);
  ~SchedulerCore() override;

  // See Scheduler and Scheduler::Stream. REQUIRES: Close is called exactly once for each Open.
  absl::StatusOr<std::shared_ptr<StreamRecord>> Open(StreamOptions options,
                                                     Scheduler::ResultCallback on_result)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Push(StreamRecord* stream, absl::Span<const int8_t> frames)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Close(StreamRecord* stream) ABSL_LOCKS_EXCLUDED(mutex_);

  const Model& model() const { return *shared_.model; }
  int open_streams() const ABSL_LOCKS_EXCLUDED(mutex_);
  int working_channels() const { return channels_.working(); }
  int proven_channels() const { return channels_.proven(); }
  void ShowLoad() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using StreamList = std::vector<std::shared_ptr<StreamRecord>>;
  using FreeChannel = ChannelSupervisor::FreeChannel;

  // ChannelSupervisor::Client
  void OnCompleted(const std::shared_ptr<BatchRun>& run, const absl::Status& status) override;
  void OnRefused(const std::shared_ptr<BatchRun>& run, const absl::Status& error) override;
  void OnOverdue(const std::shared_ptr<BatchRun>& run, const absl::Status& error) override;
  void OnTested() override { Dispatch(); }

  // OK, or why no stream can be opened now.
  absl::Status CheckRoom(const StreamOptions& options, TimePoint now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Dispatch() ABSL_LOCKS_EXCLUDED(mutex_);
  // A batch for a free channel, or null if none can be made. If no channel works, moves the ready
  // streams to *stranded instead.
  std::shared_ptr<BatchRun> NextRun(StreamList* stranded) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether a batch should wait for more lanes. If so, sets the alarm.
  bool WorthWaiting(const FreeChannel& channel, TimePoint now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes ready streams and decides how many frames of each are computed.
  void PlanBatch(const FreeChannel& channel, BatchRun* run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Copies the frames to the run's buffers.
  void FillLanes(BatchRun* run) ABSL_LOCKS_EXCLUDED(mutex_);
  // Steps 1 and 2 above; also for a batch that was refused.
  void FinishLanes(const std::shared_ptr<BatchRun>& run, const absl::Status& status)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void MakeReady(StreamRecord* stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Count(const BatchRun& run, const absl::Status& status);
  void Deliver(StreamRecord* stream) ABSL_LOCKS_EXCLUDED(mutex_);
  void DeliverOnAlarm(StreamList streams) ABSL_LOCKS_EXCLUDED(mutex_);
  void OnAlarm() ABSL_LOCKS_EXCLUDED(mutex_);

  Clock* const clock_;
  SchedulerMetrics* const metrics_;  // may be null
  StreamsShared shared_;
  const SchedulerOptions& options_;  // those of shared_

  mutable Mutex mutex_;
  FairQueue ready_ ABSL_GUARDED_BY(mutex_);
  Admission admission_ ABSL_GUARDED_BY(mutex_);
  RateMeter arrivals_ ABSL_GUARDED_BY(mutex_);  // streams that a push has made ready
  int open_streams_ ABSL_GUARDED_BY(mutex_) = 0;
  StreamList undelivered_ ABSL_GUARDED_BY(mutex_);  // for OnAlarm to deliver

  ChannelSupervisor channels_;  // after all that the channels' threads use
  std::unique_ptr<Alarm> alarm_;
};

}  // namespace ese
