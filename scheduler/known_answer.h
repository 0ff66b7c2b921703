// SPDX-License-Identifier: Apache-2.0
// Batches whose results are known: to measure an idle channel, and to see whether one that failed
// works again.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "accel/backend.h"
#include "base/aligned_buffer.h"
#include "model/model.h"

namespace ese {

// One such batch, with its buffers.
struct ProbeBatch {
  int lanes = 0;
  int steps = 0;
  std::vector<StreamState> states;  // of each lane, after the batch
  AlignedBuffer<int32_t> logits;    // [lanes][steps][num_units]
};

// Thread-safe.
class KnownAnswer {
 public:
  static constexpr int kSteps = 4;

  // Computes the reference's answers.
  explicit KnownAnswer(std::shared_ptr<const Model> model);

  // A batch of streams at their beginning. REQUIRES: 1 <= steps <= kSteps. The probe and this must
  // outlive the batch.
  ProbeBatch Make(int lanes, int steps) const;
  void Fill(ProbeBatch* probe, Batch* batch) const;
  // DATA_LOSS if any logit or state is not what the reference computes.
  absl::Status Check(const ProbeBatch& probe) const;

 private:
  static constexpr int kStreams = 3;  // different ones, dealt out to the lanes in turn
  struct Stream {
    AlignedBuffer<int8_t> frames;     // [kSteps][input_dim]
    AlignedBuffer<int32_t> logits;    // [kSteps][num_units]
    std::vector<StreamState> states;  // after each step
  };

  const std::shared_ptr<const Model> model_;
  const StreamState start_;
  std::vector<Stream> streams_;
};

}  // namespace ese
