// SPDX-License-Identifier: Apache-2.0
// How long a batch takes on a channel.
#pragma once

#include "absl/types/span.h"
#include "base/clock.h"

namespace ese {

// per_batch + per_step * steps + per_frame * frames, where steps are the frames of the longest lane
// and frames those of all lanes. A channel's three figures are measured when it is idle; what
// batches then really take moves `factor`, common to all three, so that a channel whose processor
// is shared, or that slows down when it is hot, is known for what it is. Zeros, which predict
// nothing, until measured. Not thread-safe.
struct ChannelCost {
  double per_batch_ns = 0;
  double per_step_ns = 0;
  double per_frame_ns = 0;
  double factor = 1;

  bool measured() const { return per_batch_ns + per_step_ns + per_frame_ns > 0; }
  double StepNs(int lanes) const { return factor * (per_step_ns + per_frame_ns * lanes); }
  Duration Of(int steps, int frames) const;
  // At best: batches with all lanes and so many steps, one after another. 0 if not measured.
  double FramesPerSecond(int lanes, int steps) const;

  // A batch took so long.
  void Learn(int steps, int frames, Duration took);
};

// From how long an idle channel took for three batches: one lane and one step; one lane and `steps`
// steps; `lanes` lanes and `steps` steps. REQUIRES: steps >= 2.
ChannelCost MeasuredCost(Duration one_step, Duration one_lane, Duration full, int lanes, int steps);

// The lanes that a batch should have at most: more would make it exceed the budget. A channel that
// is slow with one lane already may take twice as long as that.
int PlanLanes(const ChannelCost& cost, int max_lanes, Duration budget);

// The steps that a batch should have, between 1 and max_steps, where its lanes have so many frames
// waiting. More steps make long queues shorter, but every stream of the batch waits for its last
// step: it has another one only while that keeps within the budget, and while a frame costs in it
// at most twice what a frame costs in the first step. So those in a hurry do not wait for the
// backlog of a few others, and nobody computes one lane at a time where many are waiting.
int PlanSteps(const ChannelCost& cost, absl::Span<const int> waiting, int max_steps,
              Duration budget);

// Lanes from which on a frame costs at most a quarter more than in a batch of all lanes: nothing is
// gained by waiting for others.
int EfficientLanes(const ChannelCost& cost, int max_lanes, int steps);

}  // namespace ese
