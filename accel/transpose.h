// SPDX-License-Identifier: Apache-2.0
// Transposes between the layout of streams (the values of a lane are contiguous) and that of
// kernels (the lanes of a column are contiguous). State is transposed twice per batch, so the speed
// of this matters when batches are short.
#pragma once

#include <cstdint>

#include "absl/types/span.h"

namespace ese {

// Writes columns [n][width] from lanes [lanes.size()][n]. T is int8_t, int16_t or int32_t. `flip`
// is XORed into every value (0x80 makes an activation unsigned). Lanes beyond lanes.size() get
// unspecified values. REQUIRES: width is a multiple of 16, 1 <= lanes.size() <= width.
template <typename T>
void LanesToColumns(absl::Span<const T* const> lanes, int n, int width, T flip, T* columns);

// The reverse: writes lanes[i][...] from lane `first_lane` + i of columns [n][width].
template <typename T>
void ColumnsToLanes(const T* columns, int n, int width, T flip, int first_lane,
                    absl::Span<T* const> lanes);

}  // namespace ese
