// SPDX-License-Identifier: Apache-2.0
#include "bench/kernel_load.h"

#include <random>
#include <utility>

namespace ese {

KernelLoad::KernelLoad(const std::shared_ptr<const PackedModel>& model, const Kernel* kernel,
                       const AlgorithmPlan& plan, int lanes, int frames, int threads)
    : runner_(model, kernel, plan, threads),
      frames_(size_t(frames) * model->model().input_columns() * lanes) {
  std::mt19937 random(3);
  for (int8_t& x : frames_) x = static_cast<int8_t>(random());
  const size_t frame_bytes = frames_.size() / lanes;
  const size_t logits = size_t(frames) * model->model().num_units();
  logits_.resize(logits * lanes);
  states_.assign(2 * lanes, StreamState(model->model()));
  for (int i = 0; i < lanes; ++i) {
    batch_.lanes.push_back({.frames = absl::MakeSpan(frames_).subspan(i * frame_bytes, frame_bytes),
                            .state_in = &states_[2 * i],
                            .state_out = &states_[2 * i + 1],
                            .logits = absl::MakeSpan(logits_).subspan(i * logits, logits)});
  }
}

}  // namespace ese
