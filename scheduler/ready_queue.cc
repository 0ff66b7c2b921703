// SPDX-License-Identifier: Apache-2.0
#include "scheduler/ready_queue.h"

#include <cassert>

namespace ese {

void ReadyQueue::Push(ReadyItem* item, TimePoint deadline) {
  assert(item->position_ == ReadyItem::kOutside);
  heap_.emplace_back();
  SiftUp(size() - 1, {deadline, arrivals_++, item});
}

ReadyItem* ReadyQueue::Pop() {
  assert(!empty());
  ReadyItem* const first = heap_.front().item;
  RemoveAt(0);
  first->position_ = ReadyItem::kOutside;
  return first;
}

void ReadyQueue::Move(ReadyItem* item, TimePoint deadline) {
  if (item->position_ < 0) return;
  Remove(item);
  Push(item, deadline);
}

void ReadyQueue::Remove(ReadyItem* item) {
  if (item->position_ < 0) return;
  RemoveAt(item->position_);
  item->position_ = ReadyItem::kOutside;
}

void ReadyQueue::Retire(ReadyItem* item) {
  Remove(item);
  item->position_ = ReadyItem::kRetired;
}

void ReadyQueue::Put(int position, const Entry& entry) {
  heap_[position] = entry;
  entry.item->position_ = position;
}

void ReadyQueue::SiftUp(int position, const Entry& entry) {
  while (position > 0) {
    const int parent = (position - 1) / 2;
    if (!Before(entry, heap_[parent])) break;
    Put(position, heap_[parent]);
    position = parent;
  }
  Put(position, entry);
}

void ReadyQueue::SiftDown(int position, const Entry& entry) {
  while (true) {
    int child = 2 * position + 1;
    if (child >= size()) break;
    if (child + 1 < size() && Before(heap_[child + 1], heap_[child])) ++child;
    if (!Before(heap_[child], entry)) break;
    Put(position, heap_[child]);
    position = child;
  }
  Put(position, entry);
}

void ReadyQueue::RemoveAt(int position) {
  const Entry last = heap_.back();
  heap_.pop_back();
  if (position == size()) return;
  // The last entry fills the gap, but may belong above or below it.
  if (position > 0 && Before(last, heap_[(position - 1) / 2])) {
    SiftUp(position, last);
  } else {
    SiftDown(position, last);
  }
}

}  // namespace ese
