// SPDX-License-Identifier: Apache-2.0
// The signals that end the server or make it reload. A thread of its own receives them, so that
// they work whatever the rest of the program waits for.
//
// SIGTERM and SIGINT ask for a drain, a second one asks to end it, and a third one ends the program
// at once. So does SIGQUIT, and so does any of these before the server is ready. SIGHUP reloads
// while the server serves. SIGPIPE, SIGUSR1 and SIGUSR2 are ignored.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "process/exit_status.h"

namespace ese {

// Thread-safe, except for Start and Stop.
class Signals {
 public:
  struct Actions {
    // Called for SIGHUP. Must not block.
    std::function<void()> reload;
    // Ends the program without returning. `reason` is the log's last line.
    std::function<void(ExitStatus status, const std::string& reason)> end_now;
  };

  // Blocks the signals in the calling thread, so construct it before any other thread starts.
  Signals();
  // Calls Stop if nobody has.
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Starts the thread that receives the signals. The actions run on it.
  void Start(Actions actions);
  // Ends the thread, and lets the system handle the signals in the calling thread: they kill the
  // program from now on.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // From now on SIGTERM and SIGINT ask for a drain.
  void BeginServing() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits until a drain is asked for, or until `limit` has passed. Returns the signal's name, or
  // null.
  const char* WaitForDrain(Duration limit) ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns whether a second signal has asked to end the drain.
  bool second() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Calls end_now with kStuck if the program has not ended after this time.
  void EndWithin(Duration limit) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  void Receive(int number) ABSL_LOCKS_EXCLUDED(mutex_);
  void CheckDeadline() ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns how long poll(2) may wait, in milliseconds; -1 means for ever.
  int PollLimit() const ABSL_LOCKS_EXCLUDED(mutex_);
  void Wake();

  Actions actions_;
  const UniqueFd signals_;  // a signalfd
  const UniqueFd wake_;     // an eventfd: something has changed below
  mutable Mutex mutex_;
  CondVar changed_;
  bool serving_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  int received_ ABSL_GUARDED_BY(mutex_) = 0;  // SIGTERM and SIGINT
  const char* first_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::optional<TimePoint> deadline_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace ese
