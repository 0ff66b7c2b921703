// SPDX-License-Identifier: Apache-2.0
// Where the columns of an activation vector lie for look-up (kernels/kernel.h explains lines,
// granules and positions).
#pragma once

#include <cstdint>
#include <vector>

#include "accel/cpu/kernels/kernel.h"

namespace ese {

// Immutable.
class LookupLayout {
 public:
  // The layout of [x ; y]. x and y each take whole granules. y comes first, so that at most the
  // last line of y's first copies also holds anything else.
  LookupLayout(int inputs, int outputs);

  int granules() const { return static_cast<int>(second_position_.size()); }
  int lines() const;                            // for both copies of every granule
  int x_granule() const { return x_granule_; }  // the first granule of x

  // Where a granule's two copies lie: the first at the position of its own number.
  int Position(int granule, int copy) const {
    return copy == 0 ? granule : second_position_[granule];
  }
  // Which granule holds column c of [x ; y], and at which of the granule's bytes.
  int GranuleOf(int c) const {
    return c < inputs_ ? x_granule_ + c / kGranule : (c - inputs_) / kGranule;
  }
  int ByteOf(int c) const { return (c < inputs_ ? c : c - inputs_) % kGranule; }

 private:
  const int inputs_;
  const int x_granule_;
  std::vector<uint16_t> second_position_;  // [granules]
};

}  // namespace ese
