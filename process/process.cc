// SPDX-License-Identifier: Apache-2.0
#include "process/process.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/status.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

constexpr Duration kTick = std::chrono::seconds(1);
constexpr Duration kDrainTick = std::chrono::milliseconds(50);
// How long the last lines of the log may take. Shorter when the program ends at once.
constexpr Duration kLastLines = std::chrono::seconds(1);
constexpr Duration kLastLinesAtOnce = std::chrono::milliseconds(200);
// What stopping takes at most, unless something does not end.
constexpr Duration kStopLimit = std::chrono::seconds(30);

}  // namespace

Process::Process(const ProcessOptions& options, MetricsRegistry* metrics)
    : options_(options),
      ready_file_(options.ready_file),
      log_(std::make_shared<LogSink>(
          STDERR_FILENO,
          metrics->GetCounter("ese_log_lines_dropped_total",
                              "Log lines that were dropped because nothing read them in time, or "
                              "because they could not be written."))),
      reloads_([this] { manager_.Reloading(); }, [this] { manager_.Ready(); }) {
  auto logger = std::make_shared<spdlog::logger>("ese-server", log_);
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  logger->set_level(spdlog::level::from_str(options.log_level));
  spdlog::set_default_logger(std::move(logger));
  signals_.Start({.reload = [this] { reloads_.Request(); },
                  .end_now = [this](ExitStatus status,
                                    const std::string& reason) { EndNow(status, reason); }});
}

absl::StatusOr<std::unique_ptr<Process>> Process::Start(const ProcessOptions& options,
                                                        MetricsRegistry* metrics) {
  std::unique_ptr<Process> process(new Process(options, metrics));
  if (!options.log_file.empty()) {
    ESE_RETURN_IF_ERROR(process->log_->OpenFile(options.log_file));
    process->reloads_.Add("the log file", [log = process->log_] { return log->Reopen(); });
  }
  ESE_RETURN_IF_ERROR(process->ready_file_.Check());
  return process;
}

Process::~Process() {
  reloads_.Stop();
  ready_file_.Remove();
  log_->Stop(kLastLines);
  signals_.Stop();
}

absl::Status Process::Ready(absl::string_view ready_text) {
  ESE_RETURN_IF_ERROR(ready_file_.Write(ready_text));
  signals_.BeginServing();
  manager_.Ready();
  return absl::OkStatus();
}

ExitStatus Process::Serve(const Servable& server) {
  ServeUntilSignalled(server);
  manager_.Stopping();
  signals_.EndWithin(options_.drain + kStopLimit);
  const ExitStatus status = Drain(server);
  reloads_.Stop();
  signals_.EndWithin(kStopLimit);
  server.stop();
  return status;
}

void Process::ReportAlive(const Servable& server) const {
  if (manager_.watchdog() && server.alive()) manager_.Alive();
}

void Process::ServeUntilSignalled(const Servable& server) {
  const Duration tick = manager_.watchdog() ? std::min(kTick, *manager_.watchdog() / 4) : kTick;
  const char* signal = nullptr;
  while ((signal = signals_.WaitForDrain(tick)) == nullptr) {
    server.tick();
    ReportAlive(server);
  }
  spdlog::info("received {}; draining for at most {} s", signal, ToSeconds(options_.drain));
}

ExitStatus Process::Drain(const Servable& server) {
  server.start_drain();
  const TimePoint end = Clock::Real()->Now() + options_.drain;
  ExitStatus status = ExitStatus::kDrained;
  while (!server.wait_until_idle(kDrainTick)) {
    ReportAlive(server);
    if (signals_.second()) status = ExitStatus::kSecondSignal;
    if (Clock::Real()->Now() >= end) status = ExitStatus::kTimeUp;
    if (status != ExitStatus::kDrained) break;
  }
  spdlog::info("{}", status == ExitStatus::kDrained ? "all streams have ended"
                     : status == ExitStatus::kTimeUp
                         ? "the time for draining is up; ending the streams that are still open"
                         : "received a second signal; ending the streams that are still open");
  return status;
}

void Process::EndNow(ExitStatus status, const std::string& reason) {
  spdlog::warn("{}", reason);
  manager_.Stopping();
  log_->Flush(kLastLinesAtOnce);
  ready_file_.Remove();
  _exit(static_cast<int>(status));
}

void WriteError(absl::string_view text) {
  pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  constexpr size_t kAtOnce = 4096;  // a pipe that is ready takes this much without waiting
  while (!text.empty() && poll(&ready, 1, 1000) == 1) {
    const ssize_t n = write(STDERR_FILENO, text.data(), std::min(text.size(), kAtOnce));
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace ese
