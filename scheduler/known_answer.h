// SPDX-License-Identifier: Apache-2.0
// Test batches, whose results are known in advance. They measure idle channels and show whether a
// channel that failed works again.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "accel/backend.h"
#include "base/aligned_buffer.h"
#include "model/model.h"

namespace ese {

// The shape of a test batch and the buffers that a channel writes its results to.
struct TestBatch {
  int lanes = 0;
  int steps = 0;
  std::vector<StreamState> states;  // of each lane, after the batch
  AlignedBuffer<int32_t> logits;    // [lanes][steps][num_units]
};

// Thread-safe.
class KnownAnswer {
 public:
  static constexpr int kSteps = 4;

  // Computes the expected results with the reference.
  explicit KnownAnswer(std::shared_ptr<const Model> model);

  // Makes a test batch whose lanes all start from the zero state. REQUIRES: 1 <= steps <= kSteps.
  TestBatch Make(int lanes, int steps) const;
  // Appends the test's lanes to `batch`. The test and this object must outlive the batch.
  void Fill(TestBatch* test, Batch* batch) const;
  // DATA_LOSS if any logit or state differs from the reference's.
  absl::Status Check(const TestBatch& test) const;

 private:
  static constexpr int kStreams = 3;  // different streams, assigned to the lanes in turn
  struct Stream {
    AlignedBuffer<int8_t> frames;     // [kSteps][input_columns]
    AlignedBuffer<int32_t> logits;    // [kSteps][num_units]
    std::vector<StreamState> states;  // after each step
  };

  const std::shared_ptr<const Model> model_;
  const StreamState start_;
  std::vector<Stream> streams_;
};

}  // namespace ese
