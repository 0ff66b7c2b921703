// SPDX-License-Identifier: Apache-2.0
// Notices that files have changed.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace ese {

// Notices that files were written, replaced, removed or created, by their sizes, times and inodes.
// A change counts once the files have kept still for one interval, so that a pair of files that is
// written one after the other is seen as one change. Thread-safe.
class WatchedFiles {
 public:
  // Notes what the files look like now. Read them after this, so that no change is missed.
  WatchedFiles(std::vector<std::string> paths, Duration interval);
  // Waits for a call of on_change that runs.
  ~WatchedFiles();
  WatchedFiles(const WatchedFiles&) = delete;
  WatchedFiles& operator=(const WatchedFiles&) = delete;

  // Starts a thread that calls `on_change` after each change. REQUIRES: not called before.
  void Start(std::function<void()> on_change);
  // Counts what the files look like now as reported. Call it before reading them for another reason
  // than a call of on_change, which would otherwise report the same change once more.
  void MarkReported() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  std::string Look() const;
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns whether what the files look like has yet to be reported, and counts it as reported.
  bool ShouldReport(const std::string& look) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for one interval, or until the destructor is called; returns whether it was.
  bool WaitForStop() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::vector<std::string> paths_;
  const Duration interval_;
  std::function<void()> on_change_;

  Mutex mutex_;
  CondVar stop_;
  // What the files looked like at the last call of on_change_ or MarkReported.
  std::string reported_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace ese
