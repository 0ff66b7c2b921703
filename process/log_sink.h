// SPDX-License-Identifier: Apache-2.0
// A destination of the log that never makes the program wait. Lines are queued, and a thread of the
// sink writes them. If nobody reads the pipe behind standard error, or the disk is slow, lines are
// dropped and counted; one line tells how many, as soon as lines flow again.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "metrics/registry.h"
#include "spdlog/sinks/sink.h"

namespace ese {

// Thread-safe, except for OpenFile.
class LogSink final : public spdlog::sinks::sink {
 public:
  // The queue holds at most this many bytes.
  static constexpr size_t kMaxQueuedBytes = size_t{1} << 20;

  // Starts the thread that writes to `descriptor`, which must stay open. `dropped`, which may be
  // null, counts lines that are lost and must live until Stop.
  LogSink(int descriptor, Counter* dropped);
  // Calls Stop without waiting if nobody has.
  ~LogSink() override;

  // Queues one line. Escapes what is not printable, so that no text can start a line of its own.
  void log(const spdlog::details::log_msg& message) override;
  // Does nothing, because the thread always writes what is queued.
  void flush() override {}
  void set_pattern(const std::string& pattern) override;
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override;

  // From now on appends to a file. Call it at most once, before Reopen. Returns an error if the
  // file cannot be opened or is not a regular file.
  absl::Status OpenFile(const std::string& path);
  // Opens the file again, for example after it was renamed. Lines go to the former file until the
  // new one is open, and for ever if it cannot be opened. Does nothing without a file.
  absl::Status Reopen();
  // Waits until all lines that were queued before have been written; returns false if `limit`
  // passes first.
  bool Flush(Duration limit);
  // Like Flush, then ends the thread, or leaves it behind if it waits for its destination. Further
  // lines are dropped without being counted.
  void Stop(Duration limit);

 private:
  struct State;

  const std::shared_ptr<State> state_;  // shared with the thread, which may outlive the sink
  std::string path_;                    // empty without a file
};

}  // namespace ese
