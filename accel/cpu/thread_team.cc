// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/thread_team.h"

#include <pthread.h>

namespace ese {
namespace {

constexpr int kPolls = 2000;  // tens of microseconds

// Tests the condition up to `polls` times. Returns true as soon as it holds.
template <typename Condition>
bool Poll(int polls, Condition condition) {
  for (int poll = 0; poll < polls; ++poll) {
    if (condition()) return true;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  return false;
}

}  // namespace

ThreadTeam::ThreadTeam(int threads) {
  for (int part = 1; part < threads; ++part) {
    others_.emplace_back([this, part] { Work(part); });
  }
}

ThreadTeam::~ThreadTeam() {
  stopping_ = true;
  runs_.fetch_add(1);
  runs_.notify_all();
  for (std::thread& thread : others_) thread.join();
}

void ThreadTeam::RunTogether(const std::function<void(int)>& work) {
  work_ = &work;
  runs_.fetch_add(1);
  runs_.notify_all();
  work(0);
  Meet();
}

void ThreadTeam::MeetOthers() {
  const uint64_t team = others_.size() + 1;
  const uint64_t mine = arrivals_.fetch_add(1, std::memory_order_acq_rel);
  const uint64_t all = mine - mine % team + team;
  // If there are too few processors, the other threads may be waiting for this one's.
  while (!Poll(kPolls, [&] { return arrivals_.load(std::memory_order_acquire) >= all; })) {
    std::this_thread::yield();
  }
}

void ThreadTeam::Work(int part) {
  pthread_setname_np(pthread_self(), "ese-channel");
  for (uint32_t seen = 0;; ++seen) {
    if (!Poll(kPolls, [&] { return runs_ != seen; })) runs_.wait(seen);
    if (stopping_) return;
    (*work_)(part);
    Meet();
  }
}

}  // namespace ese
