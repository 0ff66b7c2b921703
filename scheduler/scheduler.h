// SPDX-License-Identifier: Apache-2.0
// Ready streams -> batches -> channels.
//
// Every stream has a bounded queue of frames. A stream with waiting frames and no batch in flight
// is ready. Ready streams wait in one queue, which shares fairly between tenants and takes the
// earliest deadline first within a tenant (fair_queue.h). A channel that becomes free takes up to
// max_lanes() ready streams, each with up to max_frames_per_lane frames. Since one queue serves all
// channels, no channel idles while streams are ready, except for a short wait for more lanes. A
// stream is in at most one batch at a time, so its frames never overlap or reorder. Batching never
// changes a stream's results.
//
// A stream is ready again as soon as its batch is completed, so the channel starts its next batch
// before the results of this one are delivered. A stream's callbacks still come one after another,
// and at most one further batch is computed before they have caught up (stream_record.h).
//
// A failed batch leaves the streams' states as they were. Its streams are ready again with their
// old deadlines, and run on other channels while the failing one rests (channel_pool.h). When no
// channel works, waiting streams end with UNAVAILABLE.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "accel/backend.h"
#include "base/clock.h"
#include "model/model.h"

namespace ese {

class ProcessorBudget;    // scheduler/processor_use.h
class SchedulerCore;      // scheduler/core.h
class StreamRecord;       // scheduler/stream_record.h
struct SchedulerMetrics;  // scheduler/scheduler_metrics.h

// All values are at least 1 unless a comment says otherwise.
struct SchedulerOptions {
  int max_streams = 4096;       // more are refused with UNAVAILABLE
  int max_queued_frames = 256;  // of one stream; a push that does not fit is refused entirely
  // Queued frames of all streams together, in bytes. A push that does not fit is refused entirely,
  // but every stream may always hold max_frames_per_lane frames, so that it makes progress. The
  // queue therefore never exceeds this value plus max_streams times the bytes of
  // max_frames_per_lane frames.
  int64_t max_queued_bytes = int64_t{256} << 20;
  int max_frames_per_lane = 16;  // of one stream in one batch; this sizes the buffers
  // Target time from push to result; must not be negative. A batch may take a quarter of it,
  // streams wait at most a tenth of it for others to fill the lanes, and new streams are refused
  // once frames wait for more than half of it.
  Duration target_latency = std::chrono::milliseconds(30);
  // A new stream is refused if the open ones need more than this part of what the channels were
  // measured to compute. 0 disables all of admission control: the limits on load, processors and
  // waits.
  double max_load = 0.85;
  // A new stream is also refused if the open ones need nearly all of these processors, see
  // Admission. If null, processors are not watched. Must outlive the scheduler.
  const ProcessorBudget* processors = nullptr;
  // A batch that takes longer than this, and longer than ten times the expected time, runs again on
  // another channel.
  Duration watchdog = std::chrono::seconds(2);
  int max_attempts = 3;  // a stream ends when one of its frames has failed in this many batches
  // The tenants' shares when there is not enough for all, each > 0. Tenants not named have 1.
  std::map<std::string, double> tenant_weights = {};
};

// Priorities are clamped to -kMaxPriority .. kMaxPriority. Each level of priority moves a stream's
// deadline kPriorityLatencies target latencies earlier within its tenant. A stream of lower
// priority that has waited longer than this difference goes first, so no priority starves another.
inline constexpr int kMaxPriority = 8;
inline constexpr int kPriorityLatencies = 4;

struct StreamOptions {
  std::string tenant = "";  // who the stream belongs to; empty is the default tenant
  int priority = 0;         // a higher one goes first when there is not enough for all
  // The state that the stream resumes from; nothing means zeros, the start of a stream.
  std::optional<StreamState> initial_state = std::nullopt;
  int64_t first_frame = 0;  // number of the first frame that will be pushed; at least 0
  // How long frames have lately waited in the caller before they were pushed. Admission adds it to
  // the frames' waits in the scheduler.
  Duration upstream_wait{0};
};

// What a batch did for one stream.
struct StreamResult {
  int64_t first_frame = 0;           // number of the first frame
  int num_frames = 0;                // at least 1; 0 if status is an error
  absl::Span<const int32_t> logits;  // [num_frames][num_units]; valid only during the callback
  Duration queue_time{0};            // the longest wait of these frames, from push to batch
  Duration compute_time{0};          // of the batch
  absl::Status status;               // an error ends the stream: no more results follow
};

// A point in a stream from which Open can resume it.
struct StreamSnapshot {
  int64_t frame = 0;  // number of the next frame; all frames before it have been computed
  StreamState state;  // before that frame
};

// Thread-safe.
class Scheduler {
 public:
  // Receives the results of one stream, in order and one at a time. It is called with no lock held,
  // on a thread of a channel or of the scheduler, never from within Push or Open. It must not
  // block, because it holds up a channel. It may call Open, Push, room and Snapshot, and may
  // destroy streams, including its own, but not the scheduler.
  using ResultCallback = std::function<void(const StreamResult&)>;
  class Stream;

  // `metrics` may be null. `clock` and `metrics` must outlive the scheduler.
  // REQUIRES: at least one channel; all were made for `model`.
  Scheduler(std::shared_ptr<const Model> model, std::vector<std::unique_ptr<Channel>> channels,
            const SchedulerOptions& options, Clock* clock, SchedulerMetrics* metrics);
  // Waits for the batches in flight. REQUIRES: all streams have been destroyed.
  ~Scheduler();

  // Opens a stream. INVALID_ARGUMENT: the initial state does not have the model's shape, or
  // first_frame is negative. UNAVAILABLE, with a hint of when to try again (base/retry_after.h):
  // max_streams are open, the open streams would suffer (admission.h), or every channel has failed.
  absl::StatusOr<std::unique_ptr<Stream>> Open(StreamOptions options, ResultCallback on_result);

  const Model& model() const;
  int open_streams() const;
  // How many channels work or can be expected to work shortly. While there are none, Open refuses
  // new streams, and streams with waiting frames end with UNAVAILABLE.
  int working_channels() const;
  // How many of those have passed a test; only they compute for streams. Right after the
  // constructor it is 0, because the tests have just begun.
  int proven_channels() const;
  // Sets ese_load_ratio to the load as admission sees it now: what the open streams need, as a
  // share of the channels' capacity or of the processors, whichever is higher. Call it every second
  // or so, because load also falls while nothing happens.
  void ShowLoad();

 private:
  std::unique_ptr<SchedulerCore> core_;
};

// Handle of one stream. Use it from one thread at a time; the handles of other streams are
// independent. Snapshot may be called from any thread.
class Scheduler::Stream {
 public:
  // Cancels what is still queued. When the destructor returns, no callback is running or will run,
  // and the callback itself has been destroyed. If a callback is running, the destructor
  // waits for it. A destructor that is called from within the callback does not wait; the callback
  // is then destroyed when it returns.
  ~Stream();

  // Queues frames [n][input_columns], n >= 1: all or none. INVALID_ARGUMENT: `frames` is empty, or
  // does not consist of whole frames. RESOURCE_EXHAUSTED: there is not enough room for the frames,
  // and none was taken. Other streams may have used up room since room() was called, but a stream
  // can always hold max_frames_per_lane frames. If the stream has ended with an error, returns that
  // error.
  absl::Status Push(absl::Span<const int8_t> frames);
  // How many frames Push would take now. A frame counts as queued until the callback with its
  // result begins, so room grows as results are delivered.
  int room() const;
  // A copy of the stream's state after the last frame computed, which may be ahead of the results
  // delivered. Also works after the stream has ended with an error.
  StreamSnapshot Snapshot() const;

 private:
  friend class Scheduler;
  Stream(SchedulerCore* core, std::shared_ptr<StreamRecord> record);

  SchedulerCore* const core_;
  const std::shared_ptr<StreamRecord> record_;
};

}  // namespace ese
