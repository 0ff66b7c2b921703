#include "scheduler/channel_pool.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ese {
namespace {

// After so many failures in a row. The first test after a failure comes at once.
Duration RestAfter(int failures) {
  if (failures <= 1) return Duration(0);
  const int doublings = std::min(failures - 2, 30);
  return std::min(ChannelPool::kFirstRest * (int64_t{1} << doublings), ChannelPool::kLongestRest);
}

}  // namespace

ChannelPool::ChannelPool(std::vector<std::unique_ptr<Channel>> channels) {
  assert(!channels.empty());
  slots_.reserve(channels.size());
  for (auto& channel : channels) slots_.push_back({.channel = std::move(channel)});
  CountWorking();
}

int ChannelPool::Fastest(int lanes) const {
  if (free_ == 0) return kNone;
  int best = kNone;
  Duration best_time{};
  for (int i = 0; i < size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.phase != Phase::kFree) continue;
    const Duration time = slot.cost.Of(1, std::min(lanes, slot.channel->max_lanes()));
    if (best == kNone || time < best_time ||
        (time == best_time && slot.released < slots_[best].released)) {
      best = i;
      best_time = time;
    }
  }
  return best;
}

void ChannelPool::Acquire(int i) {
  assert(slots_[i].phase == Phase::kFree);
  slots_[i].phase = Phase::kBusy;
  --free_;
}

void ChannelPool::Release(int i) {
  Slot& slot = slots_[i];
  assert(slot.phase == Phase::kBusy);
  slot.failures = 0;
  SetFree(&slot);
}

void ChannelPool::Fail(int i, const absl::Status& error, TimePoint now) {
  Slot& slot = slots_[i];
  assert(slot.phase != Phase::kFree && slot.phase != Phase::kResting);
  // One that hung failed when it hung.
  if (slot.phase != Phase::kHung) ++slot.failures;
  slot.phase = Phase::kResting;
  slot.rests_until = now + RestAfter(slot.failures);
  last_error_ = error;
  CountWorking();
}

void ChannelPool::Hang(int i, const absl::Status& error) {
  Slot& slot = slots_[i];
  assert(slot.phase == Phase::kBusy || slot.phase == Phase::kTesting);
  ++slot.failures;
  slot.phase = Phase::kHung;
  last_error_ = error;
  CountWorking();
}

int ChannelPool::StartTest(TimePoint now) {
  for (int i = 0; i < size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.phase != Phase::kResting || now < slot.rests_until) continue;
    slot.phase = Phase::kTesting;
    return i;
  }
  return kNone;
}

void ChannelPool::Pass(int i) {
  assert(slots_[i].phase == Phase::kTesting);
  slots_[i].proven = true;
  SetFree(&slots_[i]);
  CountWorking();
}

TimePoint ChannelPool::NextTest() const {
  TimePoint next = TimePoint::max();
  for (const Slot& slot : slots_) {
    if (slot.phase == Phase::kResting) next = std::min(next, slot.rests_until);
  }
  return next;
}

double ChannelPool::Capacity(int steps) const {
  double capacity = 0;
  for (const Slot& slot : slots_) {
    if (Works(slot)) capacity += slot.cost.FramesPerSecond(slot.channel->max_lanes(), steps);
  }
  return capacity;
}

int ChannelPool::proven() const {
  return static_cast<int>(
      std::ranges::count_if(slots_, [](const Slot& slot) { return Works(slot) && slot.proven; }));
}

bool ChannelPool::Works(const Slot& slot) {
  switch (slot.phase) {
    case Phase::kFree:
    case Phase::kBusy:
      return true;
    case Phase::kTesting:
    case Phase::kResting:
      return slot.failures < kFailuresToStop;
    case Phase::kHung:
      return false;
  }
  return false;
}

void ChannelPool::SetFree(Slot* slot) {
  slot->phase = Phase::kFree;
  slot->released = ++releases_;
  ++free_;
}

void ChannelPool::CountWorking() {
  working_ = static_cast<int>(std::count_if(slots_.begin(), slots_.end(), Works));
}

}  // namespace ese
