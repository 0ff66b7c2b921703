// SPDX-License-Identifier: Apache-2.0
// Between a stream's layout (each lane's values side by side) and the kernels' (each column's lanes
// side by side). State crosses in and out once a batch, so these matter where batches are short.
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace ese {

// columns [n][width] from lanes [lanes.size()][n]; T is int8_t, int16_t or int32_t. `flip` is XORed
// into every value (0x80 makes an activation unsigned). REQUIRES: width is a multiple of 16,
// 1 <= lanes.size() <= width. Lanes beyond lanes.size() get unspecified values.
template <typename T>
void LanesToColumns(absl::Span<const T* const> lanes, int n, int width, T flip, T* columns);

// The reverse: lanes[i][...] from lane `first_lane` + i of columns [n][width].
template <typename T>
void ColumnsToLanes(const T* columns, int n, int width, T flip, int first_lane,
                    absl::Span<T* const> lanes);

}  // namespace ese
