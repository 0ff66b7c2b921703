// SPDX-License-Identifier: Apache-2.0
// Executes segments by the look-up algorithm (see kernels/kernel.h).
#pragma once

#include <memory>
#include <vector>

#include "accel/cpu/kernels/kernel.h"
#include "accel/cpu/packed_model.h"
#include "accel/cpu/segment.h"
#include "accel/cpu/thread_team.h"
#include "base/aligned_buffer.h"

namespace ese {

// Owns the working memory. Lanes go in groups of up to 16, one group after another, and all threads
// of a team share the work of each step. Not thread-safe.
class LookupRunner {
 public:
  // The kernel and the team must outlive the runner.
  LookupRunner(std::shared_ptr<const PackedModel> model, const LookupKernel* kernel,
               ThreadTeam* team);

  // Lanes are divided into as few groups as possible, of nearly equal size.
  static int GroupsFor(int lanes) { return (lanes + kLookupLanes - 1) / kLookupLanes; }
  static int GroupBegin(int lanes, int group) { return group * lanes / GroupsFor(lanes); }
  static int GroupSize(int lanes, int group) {
    return GroupBegin(lanes, group + 1) - GroupBegin(lanes, group);
  }

  // Fills in the lanes' logits and state_out.
  void Run(const Segment& segment);

 private:
  // What a layer keeps from one step to the next, for all lanes of a group (laid out as
  // LookupKernel says).
  struct LayerMemory {
    AlignedBuffer<uint8_t> v;  // x, then y
    AlignedBuffer<int16_t> c;
  };

  // What one thread of the team computes: the model's matrices, but only some strips of each.
  struct Part {
    std::vector<PackedLayer> layers;
    LookupMatrix output;
  };

  Part MakePart(int part) const;
  void RunGroup(const Segment& segment);
  void LoadState(const StreamState& state, int lane);
  void StoreState(int lane, StreamState* state);
  void LoadFrame(const int8_t* x, int lane);
  // Computes the share of one thread, number `part`, in a step.
  void Step(int lanes, int part);

  const std::shared_ptr<const PackedModel> model_;
  const LookupKernel* const kernel_;
  ThreadTeam* const team_;
  std::vector<Part> parts_;
  std::vector<LayerMemory> layers_;
  AlignedBuffer<uint8_t> m_;
  size_t logits_stride_ = 0;
  AlignedBuffer<int32_t> logits_;  // [kLookupLanes][logits_stride_]
};

}  // namespace ese
