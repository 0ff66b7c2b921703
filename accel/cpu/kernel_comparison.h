// SPDX-License-Identifier: Apache-2.0
// Compares a kernel with ReferenceStep, bit for bit. For tests.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "accel/cpu/algorithm_plan.h"
#include "accel/cpu/batch_runner.h"
#include "accel/cpu/kernels/kernel.h"
#include "gtest/gtest.h"
#include "model/model.h"

namespace ese {

// A kernel and the algorithm with which it computes all steps.
struct KernelAlgorithm {
  const Kernel* kernel;
  Algorithm algorithm;

  AlgorithmPlan plan() const {
    return AlgorithmPlan::LookupUpTo(algorithm == Algorithm::kLookup ? kMaxLanes : 0);
  }
};

// All algorithms of the kernels that this machine supports.
std::vector<KernelAlgorithm> SupportedAlgorithms();

// Names the instances of a parameterized test: "avx2_lookup".
std::string AlgorithmName(const ::testing::TestParamInfo<KernelAlgorithm>& info);

// Runs batches of random streams and expects the results of the reference.
class KernelComparison {
 public:
  KernelComparison(std::shared_ptr<const Model> model, const Kernel* kernel,
                   const AlgorithmPlan& plan, uint32_t seed, int threads = 1);

  // From now on all activations are -128 or 127, including those in the state.
  void UseExtremes() { extremes_ = true; }

  // Each batch gives the number of frames in each lane; 0 leaves the lane out. The streams keep
  // their state from batch to batch.
  void Run(const std::vector<std::vector<int>>& batches);

 private:
  struct Stream;

  int8_t RandomByte();
  void FillState(Stream* stream);
  void RunBatch(const std::vector<int>& lengths, std::vector<Stream>* streams);
  void Compare(Stream* stream, size_t lane);

  std::shared_ptr<const Model> model_;
  BatchRunner runner_;
  std::mt19937 random_;
  bool extremes_ = false;
};

}  // namespace ese
