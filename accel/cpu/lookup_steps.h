// SPDX-License-Identifier: Apache-2.0
// Steps by look-up, as LookupKernel wants them.
#pragma once

#include <memory>
#include <vector>

#include "accel/cpu/kernel.h"
#include "accel/cpu/packed_model.h"
#include "accel/cpu/segment.h"
#include "accel/cpu/step_team.h"
#include "base/aligned_buffer.h"

namespace ese {

// The working memory and the order of work: lanes in groups of up to 16, one group after the other,
// each step of a group by all of a team. Not thread-safe.
class LookupSteps {
 public:
  // The team must outlive it.
  LookupSteps(std::shared_ptr<const PackedModel> model, const LookupKernel* kernel, StepTeam* team);

  // As few groups as can be, of nearly the same size.
  static int GroupsFor(int lanes) { return (lanes + kLookupLanes - 1) / kLookupLanes; }
  static int GroupBegin(int lanes, int group) { return group * lanes / GroupsFor(lanes); }
  static int GroupSize(int lanes, int group) {
    return GroupBegin(lanes, group + 1) - GroupBegin(lanes, group);
  }

  // Fills in the lanes' logits and state_out.
  void Run(const Segment& segment);

 private:
  // What a layer keeps between steps, for each lane of a group.
  struct LayerMemory {
    AlignedBuffer<uint8_t> v;  // x, then y
    AlignedBuffer<int16_t> c;
  };

  // What one of the team computes: the model's matrices, each with only some of its strips.
  struct Part {
    std::vector<PackedLayer> layers;
    LookupMatrix output;
  };

  Part MakePart(int part) const;
  void RunGroup(const Segment& segment);
  void LoadState(const StreamState& state, int lane);
  void StoreState(int lane, StreamState* state);
  void LoadFrame(const int8_t* x, int lane);
  void Step(int lanes, int part);

  const std::shared_ptr<const PackedModel> model_;
  const LookupKernel* const kernel_;
  StepTeam* const team_;
  std::vector<Part> parts_;
  std::vector<LayerMemory> layers_;
  AlignedBuffer<uint8_t> m_;
  size_t logits_stride_ = 0;
  AlignedBuffer<int32_t> logits_;  // [kLookupLanes][logits_stride_]
};

}  // namespace ese
