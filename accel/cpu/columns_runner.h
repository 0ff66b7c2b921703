// SPDX-License-Identifier: Apache-2.0
// Executes segments by the columns algorithm (see kernels/kernel.h).
#pragma once

#include <memory>
#include <vector>

#include "accel/cpu/kernels/kernel.h"
#include "accel/cpu/packed_model.h"
#include "accel/cpu/segment.h"
#include "base/aligned_buffer.h"

namespace ese {

// Owns the working memory, transposes data into columns of lanes and out of them, and calls the
// kernel for each step. Not thread-safe.
class ColumnsRunner {
 public:
  // `kernel` must outlive the runner.
  ColumnsRunner(std::shared_ptr<const PackedModel> model, const Kernel* kernel);

  // The width, in lanes, of the narrowest vectors that hold this many lanes.
  static int WidthFor(int lanes) { return lanes <= 16 ? 16 : lanes <= 32 ? 32 : kMaxLanes; }

  // Fills in the lanes' logits and, when a lane or the segment ends, the lane's state_out.
  void Run(const Segment& segment);

 private:
  // What a layer keeps from one step to the next.
  struct LayerMemory {
    AlignedBuffer<uint8_t> v;  // [inputs + outputs][width]: x, then y
    AlignedBuffer<int16_t> c;  // [cells][width]
  };

  void LoadStates(const Segment& segment);
  void StoreStates(const Segment& segment, int first, int end);  // lanes first to end - 1
  void LoadFrames(const Segment& segment, int step, int active);
  void StoreLogits(const Segment& segment, int step, int active);
  void Step();

  uint8_t* Output(size_t layer);  // y [outputs][width]

  const std::shared_ptr<const PackedModel> model_;
  const Kernel* const kernel_;
  int width_ = kMaxLanes;
  std::vector<LayerMemory> layers_;
  AlignedBuffer<uint8_t> m_;       // [cells of the largest layer][width]
  AlignedBuffer<int32_t> logits_;  // [units][width]
  // Addresses for one transposition, kept here to save their allocation.
  std::vector<const int8_t*> bytes_in_;
  std::vector<int8_t*> bytes_out_;
  std::vector<const int16_t*> words_in_;
  std::vector<int16_t*> words_out_;
  std::vector<int32_t*> logits_out_;
};

}  // namespace ese
