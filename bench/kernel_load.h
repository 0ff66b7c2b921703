// SPDX-License-Identifier: Apache-2.0
// A batch of streams with random frames, which is executed again and again.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "accel/backend.h"
#include "accel/cpu/algorithm_plan.h"
#include "accel/cpu/batch_runner.h"
#include "accel/cpu/kernels/kernel.h"
#include "accel/cpu/packed_model.h"

namespace ese {

// Not thread-safe: use one for each thread.
class KernelLoad {
 public:
  // `kernel` must outlive the load.
  KernelLoad(const std::shared_ptr<const PackedModel>& model, const Kernel* kernel,
             const AlgorithmPlan& plan, int lanes, int frames, int threads = 1);

  // Executes the batch: `frames` steps of all lanes, with features and states in and out.
  void Run() { runner_.Run(&batch_); }

 private:
  BatchRunner runner_;
  std::vector<int8_t> frames_;
  std::vector<int32_t> logits_;
  std::vector<StreamState> states_;
  Batch batch_;
};

}  // namespace ese
