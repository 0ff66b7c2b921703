// SPDX-License-Identifier: Apache-2.0
#include "scheduler/frame_queue.h"

#include <algorithm>
#include <cassert>

namespace ese {

void FrameQueue::Append(absl::Span<const int8_t> frames, TimePoint now) {
  const int n = static_cast<int>(frames.size()) / frame_size_;
  if (size_ + n > capacity()) Grow(std::max(size_ + n, 2 * capacity()));
  const int begin = (first_ + size_) % capacity();
  const int before_wrap = std::min(n, capacity() - begin);
  const auto split = frames.begin() + before_wrap * frame_size_;
  std::copy(frames.begin(), split, frames_.begin() + begin * frame_size_);
  std::copy(split, frames.end(), frames_.begin());
  for (int i = 0; i < n; ++i) times_[(begin + i) % capacity()] = now;
  size_ += n;
}

void FrameQueue::CopyFront(int n, int8_t* out) const {
  assert(n <= size_);
  const int before_wrap = std::min(n, capacity() - first_);
  out = std::copy_n(frames_.begin() + first_ * frame_size_, before_wrap * frame_size_, out);
  std::copy_n(frames_.begin(), (n - before_wrap) * frame_size_, out);
}

void FrameQueue::DropFront(int n) {
  assert(n <= size_);
  if (n == 0) return;
  first_ = (first_ + n) % capacity();
  size_ -= n;
}

void FrameQueue::Grow(int capacity) {
  std::vector<int8_t> frames(static_cast<size_t>(capacity) * frame_size_);
  std::vector<TimePoint> times(capacity);
  CopyFront(size_, frames.data());
  for (int i = 0; i < size_; ++i) times[i] = times_[(first_ + i) % this->capacity()];
  frames_ = std::move(frames);
  times_ = std::move(times);
  first_ = 0;
}

}  // namespace ese
