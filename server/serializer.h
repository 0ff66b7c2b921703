// Runs pieces of work one at a time, in the order in which they were given, without a thread.
#pragma once

#include <deque>
#include <mutex>

#include "absl/functional/any_invocable.h"

namespace ese {

// The first thread to give work runs it, and all that other threads give meanwhile; they return at
// once. No lock is held while work runs, so it may give more work, call what calls back, and end up
// on any thread that gives work. What only such work touches needs no lock of its own.
class Serializer {
 public:
  using Work = absl::AnyInvocable<void()>;

  // Thread-safe. The caller must keep the Serializer alive until Run returns.
  void Run(Work work) {
    std::unique_lock lock(mutex_);
    queue_.push_back(std::move(work));
    if (running_) return;
    running_ = true;
    while (!queue_.empty()) {
      Work next = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      next();
      next = nullptr;  // what it holds is freed without the lock, too
      lock.lock();
    }
    running_ = false;
  }

 private:
  std::mutex mutex_;
  std::deque<Work> queue_;
  bool running_ = false;
};

}  // namespace ese
