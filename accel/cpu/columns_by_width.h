// SPDX-License-Identifier: Apache-2.0
// Columns of lanes in each width. For the kernels' files only: everything is local to the file that
// includes it (see kernel.h).
#pragma once

#include "accel/cpu/kernel.h"

namespace ese {
namespace {

// A kernel but for its name and what it needs. Functions has kCells<width>, kProject<width> and
// kLogits<width>, which are StepKernel's methods for one width.
template <typename Functions>
class ColumnsByWidth : public StepKernel {
 public:
  void Cells(const PackedLayer& layer, int width, const uint8_t* v, int16_t* c,
             uint8_t* m) const override {
    (width == 64   ? Functions::template kCells<64>
     : width == 32 ? Functions::template kCells<32>
                   : Functions::template kCells<16>)(layer, v, c, m);
  }
  void Project(const PackedMatrix& matrix, int shift, int width, const uint8_t* m,
               uint8_t* y) const override {
    (width == 64   ? Functions::template kProject<64>
     : width == 32 ? Functions::template kProject<32>
                   : Functions::template kProject<16>)(matrix, shift, m, y);
  }
  void Logits(const PackedMatrix& matrix, int width, const uint8_t* y,
              int32_t* logits) const override {
    (width == 64   ? Functions::template kLogits<64>
     : width == 32 ? Functions::template kLogits<32>
                   : Functions::template kLogits<16>)(matrix, y, logits);
  }

 protected:
  ~ColumnsByWidth() = default;
};

}  // namespace
}  // namespace ese
