// SPDX-License-Identifier: Apache-2.0
// What executes steps: the interface between the scheduler and a back end.
//
// A channel executes one batch at a time. State belongs to the stream: it travels with the batch,
// in and out, in separate buffers, so that a batch that failed can be run again elsewhere with the
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

// One stream's place in a batch. The buffers belong to whoever made the batch; the channel reads
// and writes them from Submit until the completion is called, and never after.
struct Lane {
  absl::Span<const int8_t> frames;  // [num_frames][input_dim], quantized; num_frames >= 1
  const StreamState* state_in = nullptr;
  StreamState* state_out = nullptr;  // unspecified after a failure; may not alias state_in
  absl::Span<int32_t> logits;        // [num_frames][num_units], Q12.19
  uint64_t tag = 0;                  // the maker's own; channels do not look at it
};

// Up to Channel::max_lanes() streams of one model, each with one or more frames (ragged lengths are
// allowed; a lane's length is frames.size() / input_dim).
struct Batch {
  std::vector<Lane> lanes;
  // Filled in by the channel when it succeeds.
  // From the start of execution, or from the end of the executor's batch before if that is later,
  // to its end.
  Duration compute_time{0};
  int steps = 0;  // the longest lane's frames
};

class Channel {
 public:
  // Called exactly once for each accepted batch, with UNAVAILABLE or DATA_LOSS if the channel is to
  // blame for the failure and surely not the batch, from a thread of the channel's, with no lock of
  // the channel's held; by then the channel accepts the next batch, also from within the call.
  using Completion = std::function<void(std::unique_ptr<Batch>, absl::Status)>;

  // Finishes the batch in execution, calls its completion, then joins the channel's threads.
  virtual ~Channel() = default;

  // Starts executing *batch. Moved if and only if OK: on an error *batch is untouched and `done` is
  // never called. UNAVAILABLE: the channel is busy or has failed. INVALID_ARGUMENT: no lanes, too
  // many, or a lane whose buffers have the wrong size. Never blocks on execution.
  virtual absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) = 0;

  virtual int max_lanes() const = 0;
  // For logs and metric labels, for example "cpu0" and "avx512vnni".
  virtual const std::string& name() const = 0;
  // What computes its batches. Channels with the same executor share it: they have batches in hand
  // at the same time, but together compute no more than one of them alone.
  virtual const std::string& executor() const { return name(); }
  virtual const std::string& kernel() const = 0;
};

// OK, or INVALID_ARGUMENT naming what is wrong with the batch. For implementations of Submit.
absl::Status ValidateBatch(const Model& model, const Batch& batch, int max_lanes);

}  // namespace ese
