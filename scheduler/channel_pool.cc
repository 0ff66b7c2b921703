#include "scheduler/channel_pool.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ese {

ChannelPool::ChannelPool(std::vector<std::unique_ptr<Channel>> channels) {
  assert(!channels.empty());
  slots_.reserve(channels.size());
  for (auto& channel : channels) slots_.push_back({.channel = std::move(channel)});
}

template <typename Condition>
int ChannelPool::LongestIdle(Condition usable) const {
  int best = kNone;
  for (int i = 0; i < size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.busy || !usable(slot)) continue;
    if (best == kNone || slot.released < slots_[best].released) best = i;
  }
  return best;
}

int ChannelPool::Acquire(TimePoint now) {
  int i = LongestIdle([&](const Slot& slot) { return now >= slot.rests_until; });
  if (i == kNone) {
    // All free channels rest. One in order is busy and will come back: wait for it.
    const auto in_order = [](const Slot& slot) { return slot.failures == 0; };
    if (std::any_of(slots_.begin(), slots_.end(), in_order)) return kNone;
    i = LongestIdle([](const Slot& slot) { return slot.failures < kFailuresToStop; });
  }
  if (i != kNone) slots_[i].busy = true;
  return i;
}

void ChannelPool::Release(int i, const absl::Status& outcome, TimePoint now) {
  Slot& slot = slots_[i];
  assert(slot.busy);
  slot.busy = false;
  slot.released = ++releases_;
  if (outcome.ok()) {
    slot.failures = 0;
    slot.rests_until = {};
    return;
  }
  ++slot.failures;
  slot.rests_until = now + Rest(i);
  last_error_ = outcome;
}

int ChannelPool::working(TimePoint now) const {
  return static_cast<int>(std::count_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.busy || slot.failures < kFailuresToStop || now >= slot.rests_until;
  }));
}

Duration ChannelPool::Rest(int i) const {
  const int doublings = std::min(slots_[i].failures - 1, 30);
  return doublings < 0 ? Duration(0)
                       : std::min(kFirstRest * (int64_t{1} << doublings), kLongestRest);
}

}  // namespace ese
