// SPDX-License-Identifier: Apache-2.0
// A channel's worker thread; several kinds of channel are built on this class.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "accel/backend.h"
#include "base/mutex.h"

namespace ese {

// Accepts one batch at a time, executes it on its own thread and calls the completion there.
// Declare it as the channel's last member, because the thread uses the other members until the
// worker is destroyed. Thread-safe.
class BatchWorker {
 public:
  // Executes a batch and sets its `steps`. It sets `compute_time` too if that differs from the
  // duration of the call. Only the worker's thread calls it.
  using Execute = std::function<absl::Status(Batch*)>;

  // `channel_name` appears in errors. `thread_name` has at most 15 characters, and lets profilers
  // separate the channels' processor time from other threads'.
  BatchWorker(std::string channel_name, const char* thread_name, Execute execute);
  // Finishes the batch that was accepted. Must not run within a completion.
  ~BatchWorker();

  // Like Channel::Submit, for a batch that has been validated.
  absl::Status Submit(std::unique_ptr<Batch>* batch, Channel::Completion done)
      ABSL_LOCKS_EXCLUDED(mutex_);

  std::thread& thread() { return thread_; }

 private:
  void Work(const char* thread_name) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string channel_name_;
  const Execute execute_;

  Mutex mutex_;
  CondVar has_work_;
  // True from Submit until the batch is finished, not only until the thread takes it.
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<Batch> batch_ ABSL_GUARDED_BY(mutex_);  // accepted, not yet taken
  Channel::Completion done_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;  // last, because it uses the members above
};

}  // namespace ese
