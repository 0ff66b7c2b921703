// SPDX-License-Identifier: Apache-2.0
#include "accel/transpose.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace ese {
namespace {

// Square tiles of 16-byte rows, in the compilers' own vector types (SSE2, NEON or others).
template <typename T>
struct Tile {
  typedef T Row __attribute__((vector_size(16)));
  static constexpr int kSize = 16 / sizeof(T);  // the tile is kSize x kSize
  Row rows[kSize];

  // rows[i][j] <-> rows[j][i]: log2(kSize) stages, each interleaving row i with row i + kSize / 2.
  void Transpose() {
    for (int stage = 1; stage < kSize; stage *= 2) {
      Row next[kSize];
      for (int i = 0; i < kSize / 2; ++i) {
        next[2 * i] = Interleave<0>(rows[i], rows[i + kSize / 2], kIndices);
        next[2 * i + 1] = Interleave<kSize / 2>(rows[i], rows[i + kSize / 2], kIndices);
      }
      std::copy(next, next + kSize, rows);
    }
  }

 private:
  static constexpr auto kIndices = std::make_integer_sequence<int, kSize>();

  // a[from] b[from] a[from + 1] b[from + 1] ...
  template <int from, int... i>
  static Row Interleave(Row a, Row b, std::integer_sequence<int, i...>) {
    return __builtin_shufflevector(a, b, (from + i / 2 + i % 2 * kSize)...);
  }
};

}  // namespace

template <typename T>
void LanesToColumns(absl::Span<const T* const> lanes, int n, int width, T flip, T* columns) {
  constexpr int kSize = Tile<T>::kSize;
  const int last = static_cast<int>(lanes.size()) - 1;
  int j = 0;
  for (; j + kSize <= n; j += kSize) {
    for (int lane = 0; lane <= last; lane += kSize) {
      Tile<T> tile;
      for (int i = 0; i < kSize; ++i) {
        std::memcpy(&tile.rows[i], lanes[std::min(lane + i, last)] + j, 16);
        tile.rows[i] ^= flip;
      }
      tile.Transpose();
      for (int i = 0; i < kSize; ++i) {
        std::memcpy(columns + size_t(j + i) * width + lane, &tile.rows[i], 16);
      }
    }
  }
  for (; j < n; ++j) {
    for (int lane = 0; lane <= last; ++lane) {
      columns[size_t(j) * width + lane] = static_cast<T>(lanes[lane][j] ^ flip);
    }
  }
}

template <typename T>
void ColumnsToLanes(const T* columns, int n, int width, T flip, int first_lane,
                    absl::Span<T* const> lanes) {
  constexpr int kSize = Tile<T>::kSize;
  const int end_lane = first_lane + static_cast<int>(lanes.size());
  int j = 0;
  for (; j + kSize <= n; j += kSize) {
    for (int lane = first_lane - first_lane % kSize; lane < end_lane; lane += kSize) {
      Tile<T> tile;
      for (int i = 0; i < kSize; ++i) {
        std::memcpy(&tile.rows[i], columns + size_t(j + i) * width + lane, 16);
        tile.rows[i] ^= flip;
      }
      tile.Transpose();
      for (int i = std::max(0, first_lane - lane); i < std::min(kSize, end_lane - lane); ++i) {
        std::memcpy(lanes[lane + i - first_lane] + j, &tile.rows[i], 16);
      }
    }
  }
  for (; j < n; ++j) {
    for (int lane = first_lane; lane < end_lane; ++lane) {
      lanes[lane - first_lane][j] = static_cast<T>(columns[size_t(j) * width + lane] ^ flip);
    }
  }
}

#define ESE_INSTANTIATE(T)                                                      \
  template void LanesToColumns<T>(absl::Span<const T* const>, int, int, T, T*); \
  template void ColumnsToLanes<T>(const T*, int, int, T, int, absl::Span<T* const>)
ESE_INSTANTIATE(int8_t);
ESE_INSTANTIATE(int16_t);
ESE_INSTANTIATE(int32_t);
#undef ESE_INSTANTIATE

}  // namespace ese
