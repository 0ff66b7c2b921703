// SPDX-License-Identifier: Apache-2.0
// What the scheduler knows of one stream: its frames, its state, its results on their way out.
//
//            Push, with no batch in flight               Take                 frames are in a batch
//   idle ---------------------------------> ready --------------> in flight
//     ^                                       ^                       |
//     |    no frames, or two results wait     |   frames are waiting  |
//     +---------------------------------------+-----------------------+  Succeed, Fail, Return
//
// The member that makes the stream ready says so to its caller, who must put it into the ready
// queue; until it is taken from there nobody else does anything about its phase. So a stream is in
// the ready queue at most once, and in at most one batch.
//
// Results wait in the order of their batches. Any thread may deliver the next one, unless a
// callback of the stream is running: whoever runs it goes on until none is left. So callbacks are
// in order and never concurrent, though consecutive batches may have run on different channels. A
// stream with two results whose callbacks have not returned is not ready: it gets one batch ahead
// of its callbacks.
//
// A stream that leaves frames behind when a batch takes it is ready again only from that moment on,
// however old those frames are: others that were ready by then go first, and so streams with a
// backlog take turns, with each other and with streams that have none.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "accel/backend.h"
#include "base/clock.h"
#include "model/model.h"
#include "scheduler/fair_queue.h"
#include "scheduler/frame_queue.h"
#include "scheduler/real_time_credit.h"
#include "scheduler/scheduler.h"

namespace ese {

// Frames of a stream on their way through a batch.
struct TakenFrames {
  int count = 0;
  Duration queue_time{0};  // of the oldest
  Duration ready_time{0};  // how long the stream has been ready
  int real_time = 0;       // so many are those of a stream in real time, see RealTimeCredit
};

// What the records of one scheduler share.
struct StreamCommons {
  std::shared_ptr<const Model> model;
  SchedulerOptions options;
  double frames_per_second;  // of a stream in real time
  // Of all streams: bytes of frames pushed whose callbacks have not begun.
  std::atomic<int64_t> queued_bytes = 0;
};

// Thread-safe.
class StreamRecord : public ReadyItem, public std::enable_shared_from_this<StreamRecord> {
 public:
  // REQUIRES: the initial state, if there is one, is of the model's shape.
  StreamRecord(StreamCommons* commons, Tenant* tenant, StreamOptions options,
               Scheduler::ResultCallback on_result);
  ~StreamRecord();

  // See Scheduler::Stream. Sets *ready if the stream has become ready.
  absl::Status Push(absl::Span<const int8_t> frames, TimePoint now, bool* ready);
  int room() const;
  StreamSnapshot Snapshot() const;
  // No callback runs afterwards, see ~Stream. The stream can still be in a batch.
  void Close();

  // Of a stream that has not been closed.
  Tenant* tenant() const { return tenant_; }
  // Since when it has been ready, and its place among its tenant's streams. REQUIRES: the caller
  // has been told that the stream is ready, and it has not been taken from the ready queue since.
  TimePoint ready_since() const { return ready_since_; }
  TimePoint deadline() const;
  // The frames that Take could take now. REQUIRES: likewise.
  int waiting() const { return waiting_.load(std::memory_order_relaxed); }

  // Copies the oldest waiting frames, up to max_frames, to `frames` and fills in the lane's states.
  // REQUIRES: the stream was in the ready queue, and the caller has taken it from there.
  TakenFrames Take(int max_frames, TimePoint now, int8_t* frames, Lane* lane);

  // The batch is over. REQUIRES: exactly one of these is called for each Take. They return true if
  // the stream has become ready.
  // It was computed: state_out is the state now. `keep` keeps result.logits valid; the result's
  // first_frame and state are filled in here.
  bool Succeed(StreamResult result, std::shared_ptr<const void> keep);
  // It failed. An error result ends the stream if this was the last attempt.
  bool Fail(const absl::Status& error);
  // It was never started; this does not count as an attempt.
  bool Return();
  // Its channel has not finished it in time, and may go on reading and writing the states of the
  // lane: the stream goes on with copies. What the channel uses is appended to *abandoned. Counts
  // as Fail.
  bool Abandon(const absl::Status& error, std::vector<std::shared_ptr<StreamState>>* abandoned);

  // Ends the stream with an error result. REQUIRES: the stream was in the ready queue, and the
  // caller has taken it from there.
  void End(const absl::Status& error);

  // Calls the callback with the next result; false if there is none or a callback is running.
  // Sets *ready if the stream has become ready.
  bool DeliverNext(bool* ready);

 private:
  enum class Phase { kIdle, kReady, kInFlight, kEnded };
  struct Delivery {
    StreamResult result;
    std::shared_ptr<const StreamState> state;
    std::shared_ptr<const void> keep;
  };

  // REQUIRES: mutex_
  bool BecomeReady();
  bool FailLocked(const absl::Status& error);
  void EndLocked(const absl::Status& error);
  void Hold(int frames);     // more; fewer if negative
  bool TryHold(int frames);  // unless it would exceed a limit
  int RoomLocked() const;

  StreamCommons* const commons_;
  Tenant* const tenant_;
  const int input_dim_;
  const int priority_;

  // Written where the stream becomes ready, read by whoever is told.
  TimePoint ready_since_{};
  std::atomic<int> waiting_ = 0;  // frames in queue_ that are not in flight; written with mutex_

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  Phase phase_ = Phase::kIdle;
  FrameQueue queue_;   // waiting, and at its front those in flight
  int in_flight_ = 0;  // frames
  RealTimeCredit credit_;
  int held_ = 0;        // frames pushed whose callbacks have not begun
  int64_t next_frame_;  // number of the first frame in queue_
  // In flight, the channel reads states_[current_] and writes the other. Two are enough for results
  // to show theirs: the batch after the next, which would write over it, waits for the callback.
  std::shared_ptr<StreamState> states_[2];
  int current_ = 0;
  TimePoint taken_at_{};                         // when the last batch was taken,
  TimePoint served_at_{};                        // and the last that did not fail
  int attempts_ = 0;                             // of the frames at the front that failed
  absl::Status error_;                           // what the stream has ended with
  absl::InlinedVector<Delivery, 2> deliveries_;  // oldest first
  bool delivering_ = false;                      // a callback is running, on thread deliverer_
  std::thread::id deliverer_;
  bool closed_ = false;
  bool closed_within_callback_ = false;
  std::condition_variable delivered_;  // !delivering_, after closed_ was set

  // Called by the deliverer without mutex_; else written with it.
  Scheduler::ResultCallback on_result_;
};

}  // namespace ese
