// SPDX-License-Identifier: Apache-2.0
// The life of the server's process, apart from what it serves: log, signals, reloads, ready file,
// service manager, and how it ends.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "metrics/registry.h"
#include "process/exit_status.h"
#include "process/log_sink.h"
#include "process/ready_file.h"
#include "process/reload_registry.h"
#include "process/service_manager.h"
#include "process/signals.h"

namespace ese {

struct ProcessOptions {
  std::string log_level = "info";
  std::string log_file;    // empty means standard error
  std::string ready_file;  // empty means none
  Duration drain = std::chrono::seconds(10);
};

// What the process does with a server.
struct Servable {
  std::function<void()> tick;  // called once a second or more often until the drain
  // Returns whether the server still works, however loaded it is. If it does not, the service
  // manager's watchdog is not fed.
  std::function<bool()> alive;
  std::function<void()> start_drain;
  std::function<bool(Duration limit)> wait_until_idle;  // false if `limit` passes first
  std::function<void()> stop;
};

// There is one Process, used by the main thread.
class Process {
 public:
  // Call it before any other thread starts. Replaces spdlog's default logger. `metrics` must
  // outlive the process. Returns an error if the log file or the ready file cannot be used.
  static absl::StatusOr<std::unique_ptr<Process>> Start(const ProcessOptions& options,
                                                        MetricsRegistry* metrics);
  // Stops reloads, removes the ready file, and waits up to a second for the log.
  ~Process();

  ReloadRegistry& reloads() { return reloads_; }

  // Writes the ready file and tells the service manager. From now on SIGTERM and SIGINT drain.
  absl::Status Ready(absl::string_view ready_text);
  // Serves until a signal asks for a drain, then drains and stops the server. The program must end
  // soon afterwards; if it does not, the process ends itself with kStuck.
  ExitStatus Serve(const Servable& server);

 private:
  Process(const ProcessOptions& options, MetricsRegistry* metrics);

  void ReportAlive(const Servable& server) const;
  void ServeUntilSignalled(const Servable& server);
  ExitStatus Drain(const Servable& server);
  [[noreturn]] void EndNow(ExitStatus status, const std::string& reason);

  const ProcessOptions options_;
  Signals signals_;  // before everything that starts a thread
  const ServiceManager manager_;
  ReadyFile ready_file_;
  const std::shared_ptr<LogSink> log_;
  ReloadRegistry reloads_;
};

// Writes an error to standard error. Waits at most a second for a reader of a full pipe.
void WriteError(absl::string_view text);

}  // namespace ese
