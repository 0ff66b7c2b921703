// SPDX-License-Identifier: Apache-2.0
// Dispatches the columns algorithm by width. For kernels' source files only: everything here is
// local to the file that includes it (see kernel.h).
#pragma once

#include "accel/cpu/kernels/kernel.h"

namespace ese {
namespace {

// A kernel without its name and its test for support. Loops has kCells<width>, kProject<width> and
// kLogits<width>: Kernel's methods for one width.
template <typename Loops>
class ColumnsByWidth : public Kernel {
 public:
  void Cells(const PackedLayer& layer, int width, const uint8_t* v, int16_t* c,
             uint8_t* m) const override {
    (width == 64   ? Loops::template kCells<64>
     : width == 32 ? Loops::template kCells<32>
                   : Loops::template kCells<16>)(layer, v, c, m);
  }
  void Project(const PackedMatrix& matrix, int shift, int width, const uint8_t* m,
               uint8_t* y) const override {
    (width == 64   ? Loops::template kProject<64>
     : width == 32 ? Loops::template kProject<32>
                   : Loops::template kProject<16>)(matrix, shift, m, y);
  }
  void Logits(const PackedMatrix& matrix, int width, const uint8_t* y,
              int32_t* logits) const override {
    (width == 64   ? Loops::template kLogits<64>
     : width == 32 ? Loops::template kLogits<32>
                   : Loops::template kLogits<16>)(matrix, y, logits);
  }

 protected:
  ~ColumnsByWidth() = default;
};

}  // namespace
}  // namespace ese
