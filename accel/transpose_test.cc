// SPDX-License-Identifier: Apache-2.0
#include "accel/transpose.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace ese {
namespace {

template <typename T>
class TransposeTest : public ::testing::Test {
 protected:
  using Lanes = std::vector<std::vector<T>>;

  Lanes RandomLanes(int lanes, int n) {
    Lanes values(lanes, std::vector<T>(n));
    for (auto& lane : values) {
      for (T& value : lane) value = static_cast<T>(random_());
    }
    return values;
  }

  std::mt19937 random_{1};
};

using Types = ::testing::Types<int8_t, int16_t, int32_t>;
TYPED_TEST_SUITE(TransposeTest, Types);

// The sizes are around the tiles of 16, 8 and 4 values.
TYPED_TEST(TransposeTest, TransposesToColumnsAndBackAtEverySize) {
  using T = TypeParam;
  const T flip = static_cast<T>(-128);
  for (const int width : {16, 64}) {
    for (const int lanes : {1, 3, 4, 5, 8, 9, 15, 16}) {
      for (const int n : {1, 3, 4, 7, 8, 9, 15, 16, 17, 33}) {
        SCOPED_TRACE(::testing::Message() << lanes << " lanes of " << width << ", n " << n);
        const auto values = this->RandomLanes(lanes, n);
        std::vector<const T*> in;
        for (const auto& lane : values) in.push_back(lane.data());
        std::vector<T> columns(n * width);
        LanesToColumns<T>(in, n, width, flip, columns.data());
        for (int j = 0; j < n; ++j) {
          for (int lane = 0; lane < lanes; ++lane) {
            ASSERT_EQ(columns[j * width + lane], static_cast<T>(values[lane][j] ^ flip));
          }
        }
        // Expects that only the lanes from `first` on are written.
        const int first = lanes / 2;
        auto back = this->RandomLanes(lanes, n);
        const auto untouched = back;
        std::vector<T*> out;
        for (int lane = first; lane < lanes; ++lane) out.push_back(back[lane].data());
        ColumnsToLanes<T>(columns.data(), n, width, flip, first, absl::MakeSpan(out));
        for (int lane = 0; lane < lanes; ++lane) {
          ASSERT_EQ(back[lane], lane < first ? untouched[lane] : values[lane]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace ese
