// SPDX-License-Identifier: Apache-2.0
// How long a batch takes on a channel.
#pragma once

#include "absl/types/span.h"
#include "base/clock.h"

namespace ese {

// A batch takes factor * (per_batch + per_step * steps + per_frame * frames), where `steps` are the
// frames of the longest lane and `frames` are those of all lanes. The three costs are measured when
// the channel is idle. The times that batches really take then adjust `factor`, which accounts for
// a processor that is shared, or slows down when it is hot. Until the costs are measured they are
// zero and predict nothing. Not thread-safe.
struct ChannelCost {
  double per_batch_ns = 0;
  double per_step_ns = 0;
  double per_frame_ns = 0;
  double factor = 1;

  bool measured() const { return per_batch_ns + per_step_ns + per_frame_ns > 0; }
  double StepNs(int lanes) const { return factor * (per_step_ns + per_frame_ns * lanes); }
  Duration Of(int steps, int frames) const;
  // The throughput of batches of this size, one after another. 0 if not measured.
  double FramesPerSecond(int lanes, int steps) const;

  // Adjusts `factor` by the time that a batch took.
  void Learn(int steps, int frames, Duration took);
};

// Derives the costs from the times that an idle channel took for three batches: one lane with one
// step, one lane with `steps` steps, and `lanes` lanes with `steps` steps. REQUIRES: steps >= 2.
ChannelCost MeasuredCost(Duration one_step, Duration one_lane, Duration full, int lanes, int steps);

// The most lanes that a batch may have within the budget. If one lane alone takes over half of the
// budget, the budget is instead twice the time of one lane.
int PlanLanes(const ChannelCost& cost, int max_lanes, Duration budget);

// The number of steps that a batch should have, between 1 and max_steps, if its lanes have this
// many frames waiting. More steps shorten long queues, but every stream of the batch waits for the
// last step. So another step is added only while the batch stays within the budget, and while a
// frame in that step costs at most twice what a frame costs in the first step. Live streams then do
// not wait for the backlog of a few others, and a channel does not compute one lane at a time while
// many streams are waiting.
int PlanSteps(const ChannelCost& cost, absl::Span<const int> waiting, int max_steps,
              Duration budget);

// The smallest number of lanes with which a frame costs at most a quarter more than with all lanes.
// From there on, waiting for more lanes gains little.
int EfficientLanes(const ChannelCost& cost, int max_lanes, int steps);

}  // namespace ese
