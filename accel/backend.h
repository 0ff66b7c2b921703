// SPDX-License-Identifier: Apache-2.0
// The interface between the scheduler and the back ends that execute batches.
//
// A channel executes one batch at a time. State belongs to the stream: it travels with the batch in
// separate buffers for input and output, so that a failed batch can run again elsewhere with the
// same result.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/clock.h"
#include "model/model.h"

namespace ese {

// One stream's place in a batch. The buffers belong to whoever made the batch. The channel reads
// and writes them from Submit until it calls the completion, and never afterwards.
struct Lane {
  absl::Span<const int8_t> frames;  // [num_frames][input_columns], quantized; num_frames >= 1
  const StreamState* state_in = nullptr;
  StreamState* state_out = nullptr;  // unspecified after a failure; must not alias state_in
  absl::Span<int32_t> logits;        // [num_frames][num_units], Q12.19
};

// Up to Channel::max_lanes() streams of one model, each with one or more frames (ragged lengths are
// allowed; a lane's length is frames.size() / input_columns).
struct Batch {
  std::vector<Lane> lanes;
  // The channel sets the members below when it succeeds.
  // The time from the start of execution to its end, excluding time in which the executor was still
  // running the previous batch.
  Duration compute_time{0};
  int steps = 0;  // the longest lane's frames
};

class Channel {
 public:
  // Called exactly once for each accepted batch, on a thread of the channel that holds none of its
  // locks. By then the channel accepts the next batch, even from within the call. The status is
  // UNAVAILABLE or DATA_LOSS only if the channel is at fault and the batch certainly is not.
  using Completion = std::function<void(std::unique_ptr<Batch>, absl::Status)>;

  // Finishes the batch in execution, calls its completion, then joins the channel's threads.
  virtual ~Channel() = default;

  // Starts executing *batch. It is moved if and only if the result is OK: after an error *batch is
  // untouched and `done` is never called. UNAVAILABLE: the channel is busy or has failed.
  // INVALID_ARGUMENT: no lanes, too many lanes, or a lane whose buffers have the wrong size. Never
  // blocks on execution.
  virtual absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) = 0;

  virtual int max_lanes() const = 0;
  // For logs and metric labels, for example "cpu0".
  virtual const std::string& name() const = 0;
  // What computes the channel's batches. Channels with the same executor share it: each may have a
  // batch at the same time, but together they compute no faster than one of them alone.
  virtual const std::string& executor() const { return name(); }
  // For logs and metric labels, for example "avx512vnni".
  virtual const std::string& kernel() const = 0;
};

// Returns OK, or INVALID_ARGUMENT that names what is wrong with the batch. For implementations of
// Submit.
absl::Status ValidateBatch(const Model& model, const Batch& batch, int max_lanes);

}  // namespace ese
