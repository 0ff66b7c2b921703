// SPDX-License-Identifier: Apache-2.0
#include "scheduler/channel_cost.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/container/inlined_vector.h"

namespace ese {
namespace {

constexpr double kLearningRate = 1.0 / 32;
// The most by which a batch's time may differ from the expected one, as a factor. It limits the
// effect of a single odd batch, such as one that the operating system interrupted.
constexpr double kLargestSurprise = 4;

double Ns(Duration d) { return static_cast<double>(d.count()); }

}  // namespace

Duration ChannelCost::Of(int steps, int frames) const {
  return Duration(
      static_cast<int64_t>(factor * (per_batch_ns + per_step_ns * steps + per_frame_ns * frames)));
}

double ChannelCost::FramesPerSecond(int lanes, int steps) const {
  const double ns = factor * (per_batch_ns + StepNs(lanes) / factor * steps);
  return ns > 0 ? 1e9 * lanes * steps / ns : 0;
}

void ChannelCost::Learn(int steps, int frames, Duration took) {
  const double expected = per_batch_ns + per_step_ns * steps + per_frame_ns * frames;
  if (expected <= 0) return;
  const double seen =
      std::clamp(Ns(took) / expected, factor / kLargestSurprise, factor * kLargestSurprise);
  factor += kLearningRate * (seen - factor);
}

ChannelCost MeasuredCost(Duration one_step, Duration one_lane, Duration full, int lanes,
                         int steps) {
  ChannelCost cost;
  const double step = std::max(0.0, Ns(one_lane - one_step) / (steps - 1));
  if (lanes > 1) {
    cost.per_frame_ns = std::clamp(Ns(full - one_lane) / (steps * (lanes - 1.0)), 0.0, step);
  }
  cost.per_step_ns = step - cost.per_frame_ns;
  cost.per_batch_ns = std::max(0.0, Ns(one_step) - step);
  return cost;
}

int PlanLanes(const ChannelCost& cost, int max_lanes, Duration budget) {
  if (cost.per_frame_ns <= 0) return max_lanes;
  const double one = Ns(cost.Of(1, 1));
  const double spare = std::max(Ns(budget), 2 * one) - one;
  const double more = std::min(spare / (cost.factor * cost.per_frame_ns), 1.0 * max_lanes);
  return std::min(max_lanes, 1 + static_cast<int>(more));
}

int PlanSteps(const ChannelCost& cost, absl::Span<const int> waiting, int max_steps,
              Duration budget) {
  absl::InlinedVector<int, 64> lanes_of_length(max_steps + 1);
  for (int frames : waiting) ++lanes_of_length[std::clamp(frames, 1, max_steps)];
  const int all = static_cast<int>(waiting.size());
  const double worst_frame_ns = 2 * cost.StepNs(all) / all;
  double total_ns = Ns(cost.Of(1, all));
  int lanes = all;
  for (int steps = 1; steps < max_steps; ++steps) {
    lanes -= lanes_of_length[steps];  // lanes that have a frame for the next step
    if (lanes == 0) return steps;
    const double step_ns = cost.StepNs(lanes);
    total_ns += step_ns;
    if (total_ns > Ns(budget) || step_ns > worst_frame_ns * lanes) return steps;
  }
  return max_steps;
}

int EfficientLanes(const ChannelCost& cost, int max_lanes, int steps) {
  const double fixed_ns = cost.per_batch_ns + cost.per_step_ns * steps;
  const double frames_ns = cost.per_frame_ns * steps;
  // fixed / n + frames <= 5/4 (fixed / max_lanes + frames)
  const double most = 1.25 * (fixed_ns / max_lanes + frames_ns) - frames_ns;
  if (most <= 0) return 1;
  return std::clamp(static_cast<int>(std::ceil(fixed_ns / most)), 1, max_lanes);
}

}  // namespace ese
