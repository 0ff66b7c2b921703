// SPDX-License-Identifier: Apache-2.0
// Threads that share the work of each step.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace ese {

// A step takes only microseconds, which is less than it takes to put a thread to sleep and wake it.
// So the threads poll during Run and for a while after it, and sleep only if no work comes in that
// time. This is worthwhile only if each thread has a processor to itself.
class ThreadTeam {
 public:
  // A team of `threads`, one of which is the caller of Run. REQUIRES: threads >= 1.
  explicit ThreadTeam(int threads);
  ~ThreadTeam();

  int threads() const { return static_cast<int>(others_.size()) + 1; }
  // The threads that the team has started: all but the caller of Run.
  std::vector<std::thread>& others() { return others_; }

  // Calls work(0) on this thread and work(1) to work(threads() - 1) on the others. Returns when all
  // have returned. REQUIRES: one call at a time.
  template <typename Work>
  void Run(const Work& work) {
    if (others_.empty()) {
      work(0);
    } else {
      RunTogether(work);
    }
  }

  // A barrier that every thread calls from within its work: returns when all threads have called
  // it. After it, each thread sees what any thread wrote before it.
  void Meet() {
    if (!others_.empty()) MeetOthers();
  }

 private:
  void RunTogether(const std::function<void(int)>& work);
  void MeetOthers();
  void Work(int part);

  std::atomic<uint32_t> runs_ = 0;
  std::atomic<bool> stopping_ = false;
  const std::function<void(int)>* work_ = nullptr;  // written before runs_ changes
  alignas(64) std::atomic<uint64_t> arrivals_ = 0;  // calls of Meet so far, by all threads
  std::vector<std::thread> others_;                 // last, because they use all of the above
};

}  // namespace ese
