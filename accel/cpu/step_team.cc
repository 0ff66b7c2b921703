// SPDX-License-Identifier: Apache-2.0
#include "accel/cpu/step_team.h"

#include <pthread.h>

namespace ese {
namespace {

// Some tens of microseconds.
constexpr int kPolls = 2000;

// Polls so many times at most; true as soon as the condition holds.
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

StepTeam::StepTeam(int threads) {
  for (int part = 1; part < threads; ++part) {
    others_.emplace_back([this, part] { Work(part); });
  }
}

StepTeam::~StepTeam() {
  stopping_ = true;
  runs_.fetch_add(1);
  runs_.notify_all();
  for (std::thread& thread : others_) thread.join();
}

void StepTeam::RunTogether(const std::function<void(int)>& work) {
  work_ = &work;
  runs_.fetch_add(1);
  runs_.notify_all();
  work(0);
  Meet();
}

void StepTeam::MeetOthers() {
  const uint64_t team = others_.size() + 1;
  const uint64_t mine = arrivals_.fetch_add(1, std::memory_order_acq_rel);
  const uint64_t all = mine - mine % team + team;
  // On a machine with too few processors the rest may be waiting for this one.
  while (!Poll(kPolls, [&] { return arrivals_.load(std::memory_order_acquire) >= all; })) {
    std::this_thread::yield();
  }
}

void StepTeam::Work(int part) {
  pthread_setname_np(pthread_self(), "ese-channel");
  for (uint32_t seen = 0;; ++seen) {
    if (!Poll(kPolls, [&] { return runs_ != seen; })) runs_.wait(seen);
    if (stopping_) return;
    (*work_)(part);
    Meet();
  }
}

}  // namespace ese
