// SPDX-License-Identifier: Apache-2.0
// One stream's frames, those in flight first and then the waiting ones, with the times of their
// arrival. The ring grows as the stream needs.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "base/clock.h"

namespace ese {

// Not thread-safe. The owner, StreamRecord, bounds the size.
class FrameQueue {
 public:
  explicit FrameQueue(int frame_size) : frame_size_(frame_size) {}

  int size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // When the oldest frame arrived. REQUIRES: !empty().
  TimePoint front_time() const { return times_[first_]; }

  // Appends a copy of frames [n][frame_size].
  void Append(absl::Span<const int8_t> frames, TimePoint now);
  // Copies the n oldest frames to `out`, [n][frame_size]. REQUIRES: n <= size().
  void CopyFront(int n, int8_t* out) const;
  // Removes the n oldest frames. REQUIRES: n <= size().
  void DropFront(int n);

 private:
  int capacity() const { return static_cast<int>(times_.size()); }
  void Grow(int capacity);

  const int frame_size_;
  int first_ = 0;
  int size_ = 0;
  std::vector<int8_t> frames_;    // [capacity][frame_size]
  std::vector<TimePoint> times_;  // [capacity]
};

}  // namespace ese
