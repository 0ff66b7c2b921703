// Steps of few lanes: each lane's values side by side, as in the streams' state.
#pragma once

#include <memory>
#include <vector>

#include "accel/cpu/kernel.h"
#include "accel/cpu/packed_model.h"
#include "accel/cpu/segment.h"
#include "base/aligned_buffer.h"

namespace ese {

// The working memory and the order of work: lanes in groups of 8, one group after the other. Not
// thread-safe.
class FewLanesSteps {
 public:
  FewLanesSteps(std::shared_ptr<const PackedModel> model, const FewLanesKernel* kernel);

  // Fills in the lanes' logits and state_out.
  void Run(const Segment& segment);

 private:
  static constexpr int kGroup = 8;

  // What a layer keeps between steps, for each lane of a group.
  struct LayerMemory {
    size_t v_stride = 0, c_stride = 0;
    AlignedBuffer<uint8_t> v;  // [kGroup][v_stride]: x, then y
    AlignedBuffer<int16_t> c;  // [kGroup][c_stride]
  };

  void RunGroup(const Segment& segment);
  void LoadState(const StreamState& state, int lane);
  void StoreState(int lane, StreamState* state);
  void Step(int lanes);

  uint8_t* Input(size_t layer, int lane);   // x
  uint8_t* Output(size_t layer, int lane);  // y

  const std::shared_ptr<const PackedModel> model_;
  const FewLanesKernel* const kernel_;
  std::vector<LayerMemory> layers_;
  size_t m_stride_ = 0, logits_stride_ = 0;
  AlignedBuffer<uint8_t> m_;       // [kGroup][m_stride_]
  AlignedBuffer<int32_t> logits_;  // [kGroup][logits_stride_]
};

}  // namespace ese
