// SPDX-License-Identifier: Apache-2.0
// Executes batches: loads the streams' frames and states, computes the steps with a kernel, and
// stores the results.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "accel/backend.h"
#include "accel/cpu/algorithm_plan.h"
#include "accel/cpu/columns_runner.h"
#include "accel/cpu/kernels/kernel.h"
#include "accel/cpu/lookup_runner.h"
#include "accel/cpu/packed_model.h"
#include "accel/cpu/thread_team.h"

namespace ese {

// Owns the working memory of one channel, allocated once. Not thread-safe.
class BatchRunner {
 public:
  // `kernel` must outlive the runner and be supported by the processor. If it has no look-up, the
  // plan must not use look-up. `threads` threads share the work of each step by look-up; the caller
  // of Run is one of them.
  BatchRunner(std::shared_ptr<const PackedModel> model, const Kernel* kernel,
              const AlgorithmPlan& plan, int threads = 1);

  ThreadTeam& team() { return team_; }

  // Executes all frames of all lanes. Fills in the lanes' states and logits and the batch's steps.
  // The longest lanes go first within the vectors, so lanes that have ended cost nothing as soon as
  // the remaining lanes fit into narrower vectors. REQUIRES: ValidateBatch(model, *batch,
  // kMaxLanes) is OK.
  void Run(Batch* batch);

 private:
  // How a step is computed.
  struct Method {
    Algorithm algorithm = Algorithm::kColumns;
    int width = 0;  // lanes of the vectors of columns; 0 for look-up
    bool operator==(const Method&) const = default;
  };

  Method MethodFor(int lanes) const;

  const std::shared_ptr<const PackedModel> model_;
  const AlgorithmPlan plan_;
  std::vector<Lane*> sorted_;  // the batch's lanes, the longest first
  ThreadTeam team_;
  ColumnsRunner columns_;
  std::optional<LookupRunner> lookup_;  // absent if the kernel has no look-up
};

}  // namespace ese
