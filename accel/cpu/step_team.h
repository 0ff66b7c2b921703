// SPDX-License-Identifier: Apache-2.0
// Threads that make each step together.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace ese {

// A step takes some microseconds, too little to put a thread to sleep and wake it: within Run all
// of them poll, and between batches they sleep. Only worth it where each has a processor to itself.
class StepTeam {
 public:
  // REQUIRES: threads >= 1, of which one is the caller of Run.
  explicit StepTeam(int threads);
  ~StepTeam();

  int threads() const { return static_cast<int>(others_.size()) + 1; }
  // Those that the team has started.
  std::vector<std::thread>& others() { return others_; }

  // Calls work(0) here and work(1) to work(threads() - 1) on the others; returns after all of them.
  // REQUIRES: one call at a time.
  template <typename Work>
  void Run(const Work& work) {
    if (others_.empty()) {
      work(0);
    } else {
      RunTogether(work);
    }
  }

  // Within Run, by each thread: returns after all have come here. What was written before it is
  // seen after it.
  void Meet() {
    if (!others_.empty()) MeetOthers();
  }

 private:
  void RunTogether(const std::function<void(int)>& work);
  void MeetOthers();
  void Work(int part);

  std::atomic<uint32_t> runs_ = 0;
  std::atomic<bool> stopping_ = false;
  const std::function<void(int)>* work_ = nullptr;  // written before runs_
  alignas(64) std::atomic<uint64_t> arrivals_ = 0;  // at all meetings so far
  std::vector<std::thread> others_;                 // last: they use all of the above
};

}  // namespace ese
