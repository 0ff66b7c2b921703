// SPDX-License-Identifier: Apache-2.0
// What the scheduler knows about one stream: its frames, its state, and results not yet delivered.
//
//            Push                                Take              its frames are in a batch
//   idle ---------------------------------> ready --------------> in flight
//     ^                                       ^                       |
//     |    no frames, or two results wait     |   frames are waiting  |
//     +---------------------------------------+-----------------------+  Succeed, Fail, Return
//
// A member function that makes the stream ready reports it to its caller, and the caller must put
// the stream into the ready queue. Until the stream is taken from the queue, its phase does not
// change. So a stream is in the ready queue at most once, and in at most one batch.
//
// Results wait in the order of their batches. Any thread may deliver the next one unless a callback
// of the stream is running; the thread that runs it then goes on until no result is left. So
// callbacks come in order and one at a time, even if consecutive batches ran on different channels.
// A stream with two results whose callbacks have not returned is not ready, so at most one further
// batch is computed before its callbacks have caught up.
//
// If a batch leaves some of a stream's frames behind, the stream's ready time is reset to when that
// batch was taken, even if the frames are older. Streams that were ready by then go first. So
// streams with a backlog take turns, with each other and with streams that have none.
#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "accel/backend.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "model/model.h"
#include "scheduler/fair_queue.h"
#include "scheduler/frame_queue.h"
#include "scheduler/real_time_credit.h"
#include "scheduler/scheduler.h"

namespace ese {

// The frames of a stream that a batch has taken.
struct TakenFrames {
  int count = 0;
  Duration queue_time{0};  // how long the oldest has waited
  Duration ready_time{0};  // how long the stream has been ready
  int real_time = 0;       // how many count as real-time frames, see RealTimeCredit
};

// What all streams of one scheduler share.
struct StreamsShared {
  std::shared_ptr<const Model> model;
  SchedulerOptions options;
  double frames_per_second;  // of a real-time stream
  // Bytes of frames, of all streams, that were pushed and whose callbacks have not begun.
  std::atomic<int64_t> queued_bytes = 0;
};

// Thread-safe.
class StreamRecord : public ReadyItem, public std::enable_shared_from_this<StreamRecord> {
 public:
  // REQUIRES: the initial state, if there is one, has the model's shape.
  StreamRecord(StreamsShared* shared, Tenant* tenant, StreamOptions options,
               Scheduler::ResultCallback on_result);
  ~StreamRecord();

  // See Scheduler::Stream. Sets *ready if the stream has become ready.
  absl::Status Push(absl::Span<const int8_t> frames, TimePoint now, bool* ready)
      ABSL_LOCKS_EXCLUDED(mutex_);
  int room() const ABSL_LOCKS_EXCLUDED(mutex_);
  StreamSnapshot Snapshot() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Afterwards no callback runs, see ~Stream. The stream may still be in a batch.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

  // Valid until the stream is closed.
  Tenant* tenant() const { return tenant_; }
  // The time since which the stream has been ready, and its deadline in the ready queue. REQUIRES:
  // the stream was reported as ready and has not been taken from the ready queue since.
  TimePoint ready_since() const { return ready_since_; }
  TimePoint deadline() const;
  // How many frames Take could take now. REQUIRES: as for ready_since.
  int waiting() const { return waiting_.load(std::memory_order_relaxed); }

  // Copies the oldest waiting frames, up to max_frames, to `frames`, and sets the lane's frames and
  // states. REQUIRES: the caller has taken the stream from the ready queue.
  TakenFrames Take(int max_frames, TimePoint now, int8_t* frames, Lane* lane)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // How a batch ends. REQUIRES: exactly one of these four is called for each Take. They return true
  // if the stream has become ready.
  //
  // The batch was computed, so state_out is the stream's state from now on. `keep` keeps
  // result.logits valid. Sets the result's first_frame.
  bool Succeed(StreamResult result, std::shared_ptr<const void> keep) ABSL_LOCKS_EXCLUDED(mutex_);
  // The batch failed. If this was the last attempt, the stream ends with an error result.
  bool Fail(const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex_);
  // The batch was not started, or its channel is to blame: this does not count as an attempt.
  bool Return() ABSL_LOCKS_EXCLUDED(mutex_);
  // The batch is overdue, and its channel may go on reading and writing the lane's states. Appends
  // those to *abandoned; the stream continues with copies. Otherwise the same as Fail.
  bool Abandon(const absl::Status& error, std::vector<std::shared_ptr<StreamState>>* abandoned)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the stream with an error result. REQUIRES: the caller has taken the stream from the ready
  // queue.
  void End(const absl::Status& error) ABSL_LOCKS_EXCLUDED(mutex_);

  // Calls the callback with the next result. Returns false if there is none or if a callback is
  // running. Sets *ready if the stream has become ready.
  bool DeliverNext(bool* ready) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  enum class Phase { kIdle, kReady, kInFlight, kEnded };
  struct Delivery {
    StreamResult result;
    std::shared_ptr<const void> keep;
  };

  bool BecomeReady() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool FailLocked(const absl::Status& error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndLocked(const absl::Status& error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Adds `frames`, which may be negative, to the frames that count as held.
  void Hold(int frames) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Does the same and returns true, unless that would exceed a limit. REQUIRES: frames > 0.
  bool TryHold(int frames) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int RoomLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  StreamsShared* const shared_;
  Tenant* const tenant_;
  const int input_columns_;
  const int priority_;

  // Written when the stream becomes ready. It is read only by the thread that was told so and by
  // the thread that takes the stream from the ready queue, and that queue's lock orders the two.
  TimePoint ready_since_{};
  std::atomic<int> waiting_ = 0;  // frames in queue_ not in flight; written with mutex_ held

  mutable Mutex mutex_;
  Phase phase_ ABSL_GUARDED_BY(mutex_) = Phase::kIdle;
  FrameQueue queue_ ABSL_GUARDED_BY(mutex_);   // frames in flight first, then waiting ones
  int in_flight_ ABSL_GUARDED_BY(mutex_) = 0;  // frames
  RealTimeCredit credit_ ABSL_GUARDED_BY(mutex_);
  int held_ ABSL_GUARDED_BY(mutex_) = 0;        // frames pushed whose callbacks have not begun
  int64_t next_frame_ ABSL_GUARDED_BY(mutex_);  // number of the first frame in queue_
  // While the stream is in flight, the channel reads states_[current_] and writes the other one.
  std::shared_ptr<StreamState> states_[2] ABSL_GUARDED_BY(mutex_);
  int current_ ABSL_GUARDED_BY(mutex_) = 0;
  TimePoint taken_at_ ABSL_GUARDED_BY(mutex_){};   // when the last batch was taken
  TimePoint served_at_ ABSL_GUARDED_BY(mutex_){};  // when the last batch that succeeded was taken
  int attempts_ ABSL_GUARDED_BY(mutex_) = 0;       // failed batches of the frames at the front
  absl::Status error_ ABSL_GUARDED_BY(mutex_);     // why the stream has ended; OK if it has not
  absl::InlinedVector<Delivery, 2> deliveries_ ABSL_GUARDED_BY(mutex_);  // oldest first
  bool delivering_ ABSL_GUARDED_BY(mutex_) = false;  // a callback is running on deliverer_
  std::thread::id deliverer_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_within_callback_ ABSL_GUARDED_BY(mutex_) = false;
  CondVar delivered_;  // delivering_ is false, after closed_ was set

  // Only the thread that has set delivering_ calls it, and it does not hold the mutex meanwhile. To
  // replace it, hold the mutex while no other thread is delivering.
  Scheduler::ResultCallback on_result_;
};

}  // namespace ese
