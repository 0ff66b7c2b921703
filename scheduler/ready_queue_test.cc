// SPDX-License-Identifier: Apache-2.0
#include "scheduler/ready_queue.h"

#include <random>
#include <set>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"

namespace ese {
namespace {

TimePoint At(int64_t ns) { return TimePoint(Duration(ns)); }

TEST(ReadyQueueTest, ReturnsTheEarliestDeadlineFirst) {
  ReadyItem a, b, c;
  ReadyQueue queue;
  queue.Push(&a, At(30));
  queue.Push(&b, At(10));
  queue.Push(&c, At(20));
  EXPECT_EQ(queue.Pop(), &b);
  EXPECT_EQ(queue.Pop(), &c);
  EXPECT_EQ(queue.Pop(), &a);
  EXPECT_TRUE(queue.empty());
}

TEST(ReadyQueueTest, ReturnsEqualDeadlinesInOrderOfArrival) {
  ReadyItem items[9];
  ReadyQueue queue;
  for (ReadyItem& item : items) queue.Push(&item, At(5));
  for (ReadyItem& item : items) EXPECT_EQ(queue.Pop(), &item);
}

TEST(ReadyQueueTest, ARetiredItemLeaves) {
  ReadyItem a, b;
  ReadyQueue queue;
  queue.Push(&a, At(1));
  queue.Push(&b, At(2));
  queue.Retire(&a);
  EXPECT_EQ(queue.size(), 1);
  EXPECT_TRUE(a.retired());
  EXPECT_EQ(queue.Pop(), &b);
}

TEST(ReadyQueueTest, AnItemOutsideTheQueueCanBeRetired) {
  ReadyItem a;
  ReadyQueue queue;
  queue.Push(&a, At(1));
  queue.Pop();
  EXPECT_FALSE(a.retired());
  queue.Retire(&a);
  EXPECT_TRUE(a.retired());
}

// Compares with an ordered set, with removals from anywhere and many equal deadlines.
TEST(ReadyQueueTest, AgreesWithASet) {
  std::mt19937 random(7);
  std::vector<ReadyItem> items(2000);
  std::vector<std::tuple<TimePoint, int, ReadyItem*>> where(items.size());
  std::set<std::tuple<TimePoint, int, ReadyItem*>> expected;
  ReadyQueue queue;
  int arrival = 0;
  for (size_t next = 0; next < items.size() || !expected.empty();) {
    const int dice = random() % 8;
    if (dice < 4 && next < items.size()) {
      const TimePoint deadline = At(random() % 50);
      where[next] = {deadline, arrival++, &items[next]};
      expected.insert(where[next]);
      queue.Push(&items[next++], deadline);
    } else if (dice < 6 && next > 0) {
      const size_t i = random() % next;
      queue.Retire(&items[i]);
      expected.erase(where[i]);
    } else if (!expected.empty()) {
      ASSERT_EQ(queue.Pop(), std::get<2>(*expected.begin()));
      expected.erase(expected.begin());
    }
    ASSERT_EQ(queue.size(), static_cast<int>(expected.size()));
  }
}

TEST(ReadyQueueTest, MoveChangesTheDeadlineOfAnItem) {
  ReadyQueue queue;
  ReadyItem a, b, c;
  queue.Push(&a, At(1));
  queue.Push(&b, At(2));
  queue.Move(&a, At(3));
  queue.Move(&c, At(0));
  EXPECT_EQ(queue.First(), &b);
  EXPECT_EQ(queue.Pop(), &b);
  EXPECT_EQ(queue.Pop(), &a);
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace ese
