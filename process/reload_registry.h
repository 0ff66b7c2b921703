// SPDX-License-Identifier: Apache-2.0
// What the server reads again when it receives SIGHUP.
#pragma once

#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/mutex.h"

namespace ese {

// Thread-safe, except for Stop.
class ReloadRegistry {
 public:
  // Reads something again. After an error, what was loaded before stays in use.
  using Reload = std::function<absl::Status()>;

  // Starts the thread that reloads. `begin` and `end` are called on it before and after each round;
  // they may be null.
  explicit ReloadRegistry(std::function<void()> begin = nullptr,
                          std::function<void()> end = nullptr);
  // Calls Stop if nobody has.
  ~ReloadRegistry();
  ReloadRegistry(const ReloadRegistry&) = delete;
  ReloadRegistry& operator=(const ReloadRegistry&) = delete;

  // Registers what is reloaded, in the order of the calls. `name` completes the sentence "cannot
  // reload NAME". What `reload` uses must live until Stop.
  void Add(std::string name, Reload reload) ABSL_LOCKS_EXCLUDED(mutex_);
  // Asks for a round of reloads and returns at once. Requests that come before a round begins are
  // one.
  void Request() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for the round that is running, and begins no other one.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::function<void()> begin_;
  const std::function<void()> end_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<std::pair<std::string, Reload>> reloads_ ABSL_GUARDED_BY(mutex_);
  bool requested_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last, because it uses all of the above
};

}  // namespace ese
