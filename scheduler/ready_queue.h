// SPDX-License-Identifier: Apache-2.0
// A queue with the earliest deadline first, and equal deadlines in order of arrival.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace ese {

class ReadyQueue;

// Base class of what can wait in a ReadyQueue.
class ReadyItem {
 public:
  // Whether Retire was called.
  bool retired() const { return position_ == kRetired; }

 private:
  friend class ReadyQueue;
  static constexpr int kOutside = -1;
  static constexpr int kRetired = -2;
  int position_ = kOutside;  // index in heap_, or one of the above
};

// A binary heap whose items know their positions, so all operations are O(log n). Owns no items.
// Not thread-safe.
class ReadyQueue {
 public:
  bool empty() const { return heap_.empty(); }
  int size() const { return static_cast<int>(heap_.size()); }

  // REQUIRES: the item is in no queue and has not been retired.
  void Push(ReadyItem* item, TimePoint deadline);
  // REQUIRES: !empty().
  ReadyItem* First() const { return heap_.front().item; }
  // Removes the first item. REQUIRES: !empty().
  ReadyItem* Pop();
  // Changes the deadline of the item if it is in the queue.
  void Move(ReadyItem* item, TimePoint deadline);
  // Removes the item if it is in the queue.
  void Remove(ReadyItem* item);
  // Removes the item if it is in the queue, and marks it as retired: it may not be pushed again.
  void Retire(ReadyItem* item);

 private:
  struct Entry {
    TimePoint deadline;
    uint64_t arrival;
    ReadyItem* item;
  };

  static bool Before(const Entry& a, const Entry& b) {
    return a.deadline != b.deadline ? a.deadline < b.deadline : a.arrival < b.arrival;
  }
  void Put(int position, const Entry& entry);
  // Put `entry` where it belongs, starting at an empty `position` and going up or down.
  void SiftUp(int position, const Entry& entry);
  void SiftDown(int position, const Entry& entry);
  void RemoveAt(int position);

  std::vector<Entry> heap_;  // children of i: 2 i + 1 and 2 i + 2
  uint64_t arrivals_ = 0;
};

}  // namespace ese
