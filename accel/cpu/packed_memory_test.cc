// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/packed_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ese {
namespace {

TEST(PackedMemoryTest, ArraysAreAlignedAndZeroedAndDoNotOverlap) {
  PackedMemory memory;
  std::vector<uint8_t*> arrays;
  // There are many small arrays, and one that is larger than a huge page.
  const std::vector<size_t> sizes = {0, 1, 63, 64, 65, 1 << 20, 3 << 20, 5, 1 << 21, 7};
  size_t bytes = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    uint8_t* const array = memory.Take<uint8_t>(sizes[i]);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(array) % 64, 0);
    EXPECT_EQ(std::count(array, array + sizes[i], 0), static_cast<std::ptrdiff_t>(sizes[i]));
    std::fill_n(array, sizes[i], static_cast<uint8_t>(i + 1));
    arrays.push_back(array);
    bytes += sizes[i];
  }
  for (size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_EQ(std::count(arrays[i], arrays[i] + sizes[i], i + 1),
              static_cast<std::ptrdiff_t>(sizes[i]));
  }
  EXPECT_EQ(memory.bytes(), bytes);
}

}  // namespace
}  // namespace ese
