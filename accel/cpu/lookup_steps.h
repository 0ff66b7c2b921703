// Steps by look-up, as LookupKernel wants them.
#pragma once

#include <memory>
#include <vector>

#include "accel/cpu/kernel.h"
#include "accel/cpu/packed_model.h"
#include "accel/cpu/segment.h"
#include "base/aligned_buffer.h"

namespace ese {

// The working memory and the order of work: lanes in groups of up to 16, one group after the other.
// Not thread-safe.
class LookupSteps {
 public:
  LookupSteps(std::shared_ptr<const PackedModel> model, const LookupKernel* kernel);

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

  void RunGroup(const Segment& segment);
  void LoadState(const StreamState& state, int lane);
  void StoreState(int lane, StreamState* state);
  void LoadFrame(const int8_t* x, int lane);
  void Step(int lanes);

  const std::shared_ptr<const PackedModel> model_;
  const LookupKernel* const kernel_;
  std::vector<LayerMemory> layers_;
  AlignedBuffer<uint8_t> m_;
  size_t logits_stride_ = 0;
  AlignedBuffer<int32_t> logits_;  // [kLookupLanes][logits_stride_]
};

}  // namespace ese
