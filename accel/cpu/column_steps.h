// SPDX-License-Identifier: Apache-2.0
// Steps of many lanes: columns of lanes, as StepKernel wants them.
#pragma once

#include <memory>
#include <vector>

#include "accel/cpu/kernel.h"
#include "accel/cpu/packed_model.h"
#include "accel/cpu/segment.h"
#include "base/aligned_buffer.h"

namespace ese {

// The working memory and the order of work. Not thread-safe.
class ColumnSteps {
 public:
  ColumnSteps(std::shared_ptr<const PackedModel> model, const StepKernel* kernel);

  // The narrowest vectors that hold this many lanes.
  static int WidthFor(int lanes) { return lanes <= 16 ? 16 : lanes <= 32 ? 32 : kMaxLanes; }

  // Fills in the lanes' logits and, of those that end and at the end, state_out.
  void Run(const Segment& segment);

 private:
  // What a layer keeps between steps.
  struct LayerMemory {
    AlignedBuffer<uint8_t> v;  // [inputs + outputs][width]: x, then y
    AlignedBuffer<int16_t> c;  // [cells][width]
  };

  void LoadStates(const Segment& segment);
  void StoreStates(const Segment& segment, int first, int end);  // of lanes `first` to `end` - 1
  void LoadFrames(const Segment& segment, int step, int active);
  void StoreLogits(const Segment& segment, int step, int active);
  void Step();

  uint8_t* Output(size_t layer);  // y [outputs][width]

  const std::shared_ptr<const PackedModel> model_;
  const StepKernel* const kernel_;
  int width_ = kMaxLanes;
  std::vector<LayerMemory> layers_;
  AlignedBuffer<uint8_t> m_;       // [cells of the largest layer][width]
  AlignedBuffer<int32_t> logits_;  // [units][width]
  // Addresses of one transposition, kept to save their allocation.
  std::vector<const int8_t*> bytes_in_;
  std::vector<int8_t*> bytes_out_;
  std::vector<const int16_t*> words_in_;
  std::vector<int16_t*> words_out_;
  std::vector<int32_t*> logits_out_;
};

}  // namespace ese
