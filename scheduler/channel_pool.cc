// SPDX-License-Identifier: Apache-2.0
#include "scheduler/channel_pool.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <numeric>
#include <string>
#include <utility>

namespace ese {
namespace {

// The rest after this many failures in a row. The first test after a failure comes at once.
Duration RestAfter(int failures) {
  if (failures <= 1) return Duration(0);
  const int doublings = std::min(failures - 2, 30);
  return std::min(ChannelPool::kFirstRest * (int64_t{1} << doublings), ChannelPool::kLongestRest);
}

}  // namespace

ChannelPool::ChannelPool(std::vector<std::unique_ptr<Channel>> channels) {
  assert(!channels.empty());
  slots_.reserve(channels.size());
  std::map<std::string, int> executors;
  for (auto& channel : channels) {
    const auto [at, is_new] =
        executors.try_emplace(channel->executor(), static_cast<int>(executors.size()));
    if (is_new) at_work_.push_back(0);
    ++at_work_[at->second];
    slots_.push_back({.channel = std::move(channel), .executor = at->second});
  }
  CountWorking();
}

int ChannelPool::Fastest(int lanes) const {
  if (free_ == 0) return kNone;
  int best = kNone;
  Duration best_time{};
  for (int i = 0; i < size(); ++i) {
    const Slot& slot = slots_[i];
    if (slot.phase != Phase::kFree) continue;
    // It shares the executor with the channels that already have a batch.
    const Duration time =
        (1 + at_work_[slot.executor]) * slot.cost.Of(1, std::min(lanes, slot.channel->max_lanes()));
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
  SetPhase(&slots_[i], Phase::kBusy);
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
  // A hung channel was charged with the failure when it hung.
  if (slot.phase != Phase::kHung) ++slot.failures;
  SetPhase(&slot, Phase::kResting);
  slot.rests_until = now + RestAfter(slot.failures);
  last_error_ = error;
  CountWorking();
}

void ChannelPool::Hang(int i, const absl::Status& error) {
  Slot& slot = slots_[i];
  assert(slot.phase == Phase::kBusy || slot.phase == Phase::kTesting);
  ++slot.failures;
  SetPhase(&slot, Phase::kHung);
  last_error_ = error;
  CountWorking();
}

int ChannelPool::StartTest(TimePoint now) {
  for (int i = 0; i < size(); ++i) {
    Slot& slot = slots_[i];
    if (slot.phase != Phase::kResting || now < slot.rests_until) continue;
    SetPhase(&slot, Phase::kTesting);
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
  std::vector<double> fastest(at_work_.size());
  for (const Slot& slot : slots_) {
    if (!Works(slot)) continue;
    const double speed = slot.cost.FramesPerSecond(slot.channel->max_lanes(), steps);
    fastest[slot.executor] = std::max(fastest[slot.executor], speed);
  }
  return std::accumulate(fastest.begin(), fastest.end(), 0.0);
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

bool ChannelPool::IsAtWork(Phase phase) {
  return phase == Phase::kTesting || phase == Phase::kBusy || phase == Phase::kHung;
}

void ChannelPool::SetPhase(Slot* slot, Phase phase) {
  at_work_[slot->executor] += IsAtWork(phase) - IsAtWork(slot->phase);
  slot->phase = phase;
}

void ChannelPool::SetFree(Slot* slot) {
  SetPhase(slot, Phase::kFree);
  slot->released = ++releases_;
  ++free_;
}

void ChannelPool::CountWorking() {
  working_ = static_cast<int>(std::count_if(slots_.begin(), slots_.end(), Works));
}

}  // namespace ese
