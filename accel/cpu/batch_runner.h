// SPDX-License-Identifier: Apache-2.0
// Runs batches on one thread: the streams' data in, steps on a kernel, the results out.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "accel/backend.h"
#include "accel/cpu/column_steps.h"
#include "accel/cpu/kernel.h"
#include "accel/cpu/lookup_steps.h"
#include "accel/cpu/packed_model.h"
#include "accel/cpu/step_plan.h"
#include "accel/cpu/step_team.h"

namespace ese {

// Has the working memory of one channel, allocated once. Not thread-safe.
class BatchRunner {
 public:
  // `kernel` must outlive the runner and be supported by the processor; where it has no look-up,
  // the plan has none either. `threads` make steps by look-up together, the caller of Run among
  // them.
  BatchRunner(std::shared_ptr<const PackedModel> model, const StepKernel* kernel,
              const StepPlan& plan, int threads = 1);

  StepTeam& team() { return team_; }

  // Executes all frames of all lanes and fills in the lanes' states and logits, and the batch's
  // steps. Lanes are sorted by length, so that those that have ended cost nothing as soon as the
  // rest goes into narrower vectors. REQUIRES: ValidateBatch(model, *batch, kMaxLanes) is OK.
  void Run(Batch* batch);

 private:
  // A number that changes where it pays to go on in another way.
  int WayFor(int lanes) const;

  const std::shared_ptr<const PackedModel> model_;
  const StepPlan plan_;
  std::vector<Lane*> sorted_;
  StepTeam team_;
  ColumnSteps columns_;
  std::optional<LookupSteps> lookup_;  // none where the kernel has none
};

}  // namespace ese
