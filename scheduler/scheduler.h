// SPDX-License-Identifier: Apache-2.0
// Ready streams -> batches -> channels.
//
// Every stream has a bounded queue of frames. A stream with frames waiting and no batch in flight
// is ready; ready streams wait in one queue, earliest deadline first. Whenever a channel is free it
// takes up to max_lanes() ready streams, each with up to max_frames_per_lane frames:
// work-conserving, one queue for all channels. A stream is in at most one batch at a time, so its
// frames never overlap or reorder. A stream's results do not depend on who shares its batches.
//
// A stream is ready again as soon as its batch is finished, so the channel starts the next batch
// before the results of this one are delivered; its own callbacks still come one after another, and
// it gets at most one batch ahead of them (core.h).
//
// A failed batch leaves the streams' states as they were. Its streams are ready again with their
// old deadlines, and go to other channels while the failing one rests (channel_pool.h). When no
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

// All at least 1 unless said otherwise.
struct SchedulerOptions {
  int max_streams = 4096;       // more are refused with UNAVAILABLE
  int max_queued_frames = 256;  // of one stream; a push that does not fit is refused whole
  // Of the frames of all streams, but that each may hold max_frames_per_lane, so that it gets on: a
  // push that does not fit is refused whole. So no more than this and max_streams times a batch's
  // frames are ever queued.
  int64_t max_queued_bytes = int64_t{256} << 20;
  int max_frames_per_lane = 16;  // of one stream in one batch: bounds the buffers
  // From push to result. A quarter of it bounds how long a batch takes, a tenth how long streams
  // wait for others to fill its lanes, half of it how long they may wait before new ones are
  // refused. At least 0.
  Duration target_latency = std::chrono::milliseconds(30);
  // New streams are refused where those open need more than this part of what the channels were
  // measured to compute; 0: never for the load, the processors' use or the waits.
  double max_load = 0.85;
  // Likewise where they need nearly all of these, see Admission. Null: not watched. Must outlive
  // the scheduler.
  const ProcessorBudget* processors = nullptr;
  // A batch that takes longer, and longer than ten times what was expected, is run elsewhere.
  Duration watchdog = std::chrono::seconds(2);
  int max_attempts = 3;  // batches that a frame may fail in before its stream ends
  // Shares of tenants where there is not enough for all, each > 0; tenants not named have 1.
  std::map<std::string, double> tenant_weights = {};
};

// Priorities are clamped to -kMaxPriority .. kMaxPriority. Within a tenant, a stream goes before
// one of a priority lower by n if that became ready up to n times kPriorityLatencies target
// latencies earlier, and after it from then on: no priority starves another.
inline constexpr int kMaxPriority = 8;
inline constexpr int kPriorityLatencies = 4;

struct StreamOptions {
  std::string tenant = "";  // whose stream it is; empty: the default tenant
  int priority = 0;         // higher goes first where there is not enough for all
  // Where the stream goes on from; none: zeros, the start of a stream.
  std::optional<StreamState> initial_state = std::nullopt;
  int64_t first_frame = 0;  // the number of the first frame that will be pushed; at least 0
  // How long what is to be pushed has lately been waiting for that, with whoever pushes. Counts
  // with the frames' waits in the scheduler where it is to say whether there is room for a stream.
  Duration upstream_wait{0};
};

// What a batch did for one stream.
struct StreamResult {
  int64_t first_frame = 0;           // number of the first frame
  int num_frames = 0;                // at least 1; 0 if status is an error
  absl::Span<const int32_t> logits;  // [num_frames][num_units]; valid during the call only
  Duration queue_time{0};            // the longest wait of these frames, from push to batch
  Duration compute_time{0};          // of the batch
  // The stream's after the last of these frames; valid during the call only; null if status is an
  // error.
  const StreamState* state = nullptr;
  absl::Status status;  // an error ends the stream: no more results follow
};

// A stream on its way: what Open takes to go on with it.
struct StreamSnapshot {
  int64_t frame = 0;  // the number of the next frame: all before it have been computed
  StreamState state;
};

// Thread-safe.
class Scheduler {
 public:
  // Called for the frames of a stream in their order, never concurrently for one stream, with no
  // lock held, from a thread of a channel or of the scheduler: never from within Push or Open. Must
  // not block: it holds up a channel. It may call Open, Push and room, and destroy streams, its own
  // too; it may not destroy the scheduler.
  using ResultCallback = std::function<void(const StreamResult&)>;
  class Stream;

  // `metrics` may be null. `clock` and `metrics` must outlive the scheduler.
  // REQUIRES: at least one channel; all were made for `model`.
  Scheduler(std::shared_ptr<const Model> model, std::vector<std::unique_ptr<Channel>> channels,
            const SchedulerOptions& options, Clock* clock, SchedulerMetrics* metrics);
  // Waits for the batches in flight. REQUIRES: every stream has been destroyed.
  ~Scheduler();

  // A new stream. INVALID_ARGUMENT: an initial state not of the model's shape, or a negative
  // first_frame. UNAVAILABLE, with a hint when to try again (base/retry_after.h): max_streams are
  // open, or every channel has failed.
  absl::StatusOr<std::unique_ptr<Stream>> Open(StreamOptions options, ResultCallback on_result);

  const Model& model() const;
  int open_streams() const;
  // Channels that have not stopped for failing. While there is none, Open refuses and open streams
  // end with UNAVAILABLE; it works again once one has passed a test.
  int working_channels() const;
  // Of those, the ones that have passed a test; only they compute for streams. Right after the
  // constructor it is 0: the tests have just begun.
  int proven_channels() const;

 private:
  std::unique_ptr<SchedulerCore> core_;
};

// One stream's handle; used from one thread at a time (other streams' handles are independent).
class Scheduler::Stream {
 public:
  // Cancels what is still queued. After the destructor returns no callback runs or will run, and
  // the callback itself has been destroyed; so it waits for one that is running, unless it is
  // called from within that callback, which is then destroyed when it returns.
  ~Stream();

  // Queues frames [n][input_dim], n >= 1: all or none.
  // INVALID_ARGUMENT: not such frames. RESOURCE_EXHAUSTED: more than room() frames (others may have
  // filled it since it was asked, but for those of a batch); nothing was taken. The stream's own
  // error status from when it has ended with one.
  absl::Status Push(absl::Span<const int8_t> frames);
  // Frames that Push would take now. Grows as results are delivered (a frame holds its place until
  // the callback with its result begins).
  int room() const;
  // A copy of the stream as far as it has been computed, which may be ahead of the results that
  // have been delivered; also after it has ended with an error.
  StreamSnapshot Snapshot() const;

 private:
  friend class Scheduler;
  Stream(SchedulerCore* core, std::shared_ptr<StreamRecord> record);

  SchedulerCore* const core_;
  const std::shared_ptr<StreamRecord> record_;
};

}  // namespace ese
