// SPDX-License-Identifier: Apache-2.0
#include "scheduler/frame_queue.h"

#include <deque>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace ese {
namespace {

TimePoint At(int64_t ns) { return TimePoint(Duration(ns)); }

std::vector<int8_t> Front(const FrameQueue& queue, int n, int frame_size) {
  std::vector<int8_t> frames(n * frame_size);
  queue.CopyFront(n, frames.data());
  return frames;
}

TEST(FrameQueueTest, KeepsOrderAndTimes) {
  FrameQueue queue(2);
  queue.Append({{1, 2, 3, 4}}, At(10));
  queue.Append({{5, 6}}, At(20));
  EXPECT_EQ(queue.size(), 3);
  EXPECT_EQ(queue.front_time(), At(10));
  EXPECT_EQ(Front(queue, 3, 2), (std::vector<int8_t>{1, 2, 3, 4, 5, 6}));
  queue.DropFront(2);
  EXPECT_EQ(queue.front_time(), At(20));
  EXPECT_EQ(Front(queue, 1, 2), (std::vector<int8_t>{5, 6}));
}

TEST(FrameQueueTest, CopiesAndAppendsAcrossTheWrap) {
  FrameQueue queue(1);
  queue.Append({{1, 2, 3, 4}}, At(1));  // capacity 4
  queue.DropFront(3);
  queue.Append({{5, 6, 7}}, At(2));
  EXPECT_EQ(Front(queue, 4, 1), (std::vector<int8_t>{4, 5, 6, 7}));
  EXPECT_EQ(queue.front_time(), At(1));
  queue.DropFront(1);
  EXPECT_EQ(queue.front_time(), At(2));
}

TEST(FrameQueueTest, GrowsWhileWrapped) {
  FrameQueue queue(1);
  queue.Append({{1, 2, 3, 4}}, At(1));
  queue.DropFront(2);
  queue.Append({{5, 6}}, At(2));  // now full and wrapped
  queue.Append({7}, At(3));
  EXPECT_EQ(Front(queue, 5, 1), (std::vector<int8_t>{3, 4, 5, 6, 7}));
  queue.DropFront(2);
  EXPECT_EQ(queue.front_time(), At(2));
  queue.DropFront(2);
  EXPECT_EQ(queue.front_time(), At(3));
}

TEST(FrameQueueTest, AgreesWithADeque) {
  std::mt19937 random(3);
  FrameQueue queue(3);
  std::deque<std::pair<int8_t, TimePoint>> expected;
  for (int i = 0; i < 3000; ++i) {
    if (random() % 2 == 0 && expected.size() < 40) {
      const int n = 1 + random() % 7;
      std::vector<int8_t> frames;
      for (int k = 0; k < n; ++k) {
        const auto value = static_cast<int8_t>(random());
        frames.insert(frames.end(), 3, value);
        expected.emplace_back(value, At(i));
      }
      queue.Append(frames, At(i));
    } else {
      const int n = random() % (expected.size() + 1);
      queue.DropFront(n);
      expected.erase(expected.begin(), expected.begin() + n);
    }
    ASSERT_EQ(queue.size(), static_cast<int>(expected.size()));
    if (expected.empty()) continue;
    ASSERT_EQ(queue.front_time(), expected.front().second);
    const std::vector<int8_t> front = Front(queue, queue.size(), 3);
    for (size_t k = 0; k < expected.size(); ++k) {
      ASSERT_EQ(front[3 * k], expected[k].first);
      ASSERT_EQ(front[3 * k + 2], expected[k].first);
    }
  }
}

}  // namespace
}  // namespace ese
