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
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "accel/backend.h"
#include "base/clock.h"
#include "model/model.h"
#include "scheduler/frame_queue.h"
#include "scheduler/ready_queue.h"
#include "scheduler/scheduler.h"

namespace ese {

// Frames of a stream on their way through a batch.
struct TakenFrames {
  int count = 0;
  Duration queue_time{0};  // of the oldest
};

// Thread-safe.
class StreamRecord : public ReadyItem, public std::enable_shared_from_this<StreamRecord> {
 public:
  // REQUIRES: the initial state, if there is one, is of the model's shape.
  StreamRecord(const Model& model, const SchedulerOptions& options, StreamOptions stream_options,
               Scheduler::ResultCallback on_result);

  // See Scheduler::Stream. Sets *ready if the stream has become ready.
  absl::Status Push(absl::Span<const int8_t> frames, TimePoint now, bool* ready);
  int room() const;
  StreamSnapshot Snapshot() const;
  // No callback runs afterwards, see ~Stream. The stream can still be in a batch.
  void Close();

  // Its place in the ready queue. REQUIRES: the caller has been told that the stream is ready.
  TimePoint deadline() const { return deadline_; }

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
    std::shared_ptr<const void> keep;
  };

  bool BecomeReady();                         // REQUIRES: mutex_
  void EndLocked(const absl::Status& error);  // REQUIRES: mutex_

  const int input_dim_;
  const int max_queued_frames_;
  const int max_attempts_;
  const Duration target_latency_;

  // Written where the stream becomes ready, read by whoever is told.
  TimePoint deadline_{};
  // In flight, the channel reads states_[current_] and writes the other. Two are enough for results
  // to show theirs: the batch after the next, which would write over it, waits for the callback.
  StreamState states_[2];

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  Phase phase_ = Phase::kIdle;
  FrameQueue queue_;                             // waiting, and at its front those in flight
  int in_flight_ = 0;                            // frames
  int held_ = 0;                                 // frames pushed whose callbacks have not begun
  int64_t next_frame_;                           // number of the first frame in queue_
  int current_ = 0;                              // index of the stream's state
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
