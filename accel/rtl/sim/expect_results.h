// SPDX-License-Identifier: Apache-2.0
// Compares batches bit by bit, for tests of the kernel.
#pragma once

#include <gtest/gtest.h>

#include "accel/rtl/sim/channel_sim.h"

namespace ese {

inline void ExpectSameResults(const OwnedBatch& got, const OwnedBatch& expected) {
  for (size_t lane = 0; lane < expected.lanes.size(); ++lane) {
    const StreamState &a = got.states_out[lane], &b = expected.states_out[lane];
    EXPECT_EQ(std::vector<int16_t>(a.c.begin(), a.c.end()),
              std::vector<int16_t>(b.c.begin(), b.c.end()))
        << "c of lane " << lane;
    EXPECT_EQ(std::vector<int8_t>(a.y.begin(), a.y.end()),
              std::vector<int8_t>(b.y.begin(), b.y.end()))
        << "y of lane " << lane;
    EXPECT_EQ(got.logits[lane], expected.logits[lane]) << "logits of lane " << lane;
  }
}

}  // namespace ese
