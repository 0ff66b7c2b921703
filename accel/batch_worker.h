// SPDX-License-Identifier: Apache-2.0
// The thread of a channel that executes batches on one: what is common to such channels.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "accel/backend.h"

namespace ese {

// Takes a batch at a time, has it executed on its thread, and calls its completion there. Declare
// it last: its thread uses the other members of the channel until it is destroyed.
class BatchWorker {
 public:
  // Executes a batch and sets its steps, and its compute time if that is not all the time in here;
  // called by the worker's thread only.
  using Execute = std::function<absl::Status(Batch*)>;

  // `channel_name` for errors; `thread_name`, of up to 15 characters, so that the processor time of
  // all channels can be told from that of the rest.
  BatchWorker(std::string channel_name, const char* thread_name, Execute execute);
  // Finishes what was accepted. Not from within a completion.
  ~BatchWorker();

  // As Channel::Submit, but that the batch has been validated.
  absl::Status Submit(std::unique_ptr<Batch>* batch, Channel::Completion done);

  std::thread& thread() { return thread_; }

 private:
  void Work(const char* thread_name);

  const std::string channel_name_;
  const Execute execute_;

  // Of the standard library, not Abseil's: ThreadSanitizer does not see into that.
  std::mutex mutex_;
  std::condition_variable has_work_;
  // Guarded by mutex_.
  // From Submit until the batch is finished, not only until the thread takes it.
  bool busy_ = false;
  bool stopping_ = false;
  std::unique_ptr<Batch> batch_;  // accepted, not yet taken
  Channel::Completion done_;

  std::thread thread_;  // last: it uses all of the above
};

}  // namespace ese
