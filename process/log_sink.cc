// SPDX-License-Identifier: Apache-2.0
#include "process/log_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/printable.h"
#include "base/status.h"
#include "spdlog/details/log_msg.h"
#include "spdlog/pattern_formatter.h"

namespace ese {
namespace {

// Writes all bytes, and waits for the destination. Returns false if a write failed; *text keeps
// what is left.
bool WriteAll(int descriptor, absl::string_view* text) {
  while (!text->empty()) {
    const ssize_t n = write(descriptor, text->data(), text->size());
    if (n >= 0) {
      text->remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {  // whoever shares standard error may have made it non-blocking
      pollfd ready = {.fd = descriptor, .events = POLLOUT, .revents = 0};
      poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

// O_NONBLOCK, so that opening a FIFO does not wait for a reader. It has no effect on regular files.
absl::StatusOr<int> OpenLogFile(const std::string& path) {
  const int descriptor =
      open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0640);
  const std::string what = absl::StrCat("cannot write the log file ", Printable(path));
  if (descriptor < 0) return absl::ErrnoToStatus(errno, what);
  struct stat info = {};
  if (fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode)) return descriptor;
  close(descriptor);
  return absl::InvalidArgumentError(
      absl::StrCat(what, ": it is not a regular file; name another one with --log-file"));
}

}  // namespace

struct LogSink::State {
  Mutex mutex;
  CondVar changed;
  std::unique_ptr<spdlog::formatter> formatter ABSL_GUARDED_BY(mutex) =
      std::make_unique<spdlog::pattern_formatter>();
  std::string queued ABSL_GUARDED_BY(mutex);
  int64_t lost ABSL_GUARDED_BY(mutex) = 0;  // lines, since the last report
  Counter* counter ABSL_GUARDED_BY(mutex) = nullptr;
  bool writing ABSL_GUARDED_BY(mutex) = false;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  int next_descriptor ABSL_GUARDED_BY(mutex) = -1;  // replaces the current one
  int descriptor = -1;                              // used by the thread only
  bool owns_descriptor = false;                     // the same

  ~State() {
    if (owns_descriptor) close(descriptor);
    if (next_descriptor >= 0) close(next_descriptor);
  }

  void Lose(int64_t lines) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    lost += lines;
    if (counter != nullptr) counter->Increment(static_cast<double>(lines));
  }
  std::string Format(const spdlog::details::log_msg& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    spdlog::memory_buf_t line;
    formatter->format(message, line);
    return {line.data(), line.size()};
  }
  // Adds the line that reports losses, if there were any.
  void ReportLosses() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Run() ABSL_LOCKS_EXCLUDED(mutex);
};

void LogSink::State::ReportLosses() {
  if (lost == 0) return;
  const std::string text = absl::StrCat(
      std::exchange(lost, 0), " log lines were dropped, because they could not be written in time");
  queued += Format(spdlog::details::log_msg("", spdlog::level::warn, text));
}

void LogSink::State::Run() {
  pthread_setname_np(pthread_self(), "ese-log");
  std::string text;
  MutexLock lock(mutex);
  for (;;) {
    while (queued.empty() && !stopping) changed.Wait(mutex);
    if (queued.empty()) return;
    text.clear();
    ReportLosses();
    text.swap(queued);
    writing = true;
    const int next = std::exchange(next_descriptor, -1);
    lock.Unlock();
    if (next >= 0) {
      if (owns_descriptor) close(descriptor);
      descriptor = next;
      owns_descriptor = true;
    }
    absl::string_view left = text;
    WriteAll(descriptor, &left);
    lock.Lock();
    if (!left.empty()) Lose(std::count(left.begin(), left.end(), '\n'));
    writing = false;
    changed.NotifyAll();
  }
}

LogSink::LogSink(int descriptor, Counter* dropped) : state_(std::make_shared<State>()) {
  {
    const MutexLock lock(state_->mutex);
    state_->counter = dropped;
  }
  state_->descriptor = descriptor;
  // Detached, because nobody can wait for a thread that waits for its destination.
  std::thread([state = state_] { state->Run(); }).detach();
}

LogSink::~LogSink() { Stop(Duration(0)); }

void LogSink::log(const spdlog::details::log_msg& message) {
  spdlog::details::log_msg printable = message;
  const absl::string_view payload(message.payload.data(), message.payload.size());
  std::string escaped;
  if (!IsPrintable(payload)) {
    escaped = Printable(payload);
    printable.payload = escaped;
  }
  const MutexLock lock(state_->mutex);
  if (state_->stopping) return;
  const std::string line = state_->Format(printable);
  // After the first loss everything is lost until the thread has taken the queue, so that one
  // number at one place says what is missing.
  if (state_->lost > 0 && !state_->queued.empty()) return state_->Lose(1);
  if (state_->queued.size() + line.size() > kMaxQueuedBytes) return state_->Lose(1);
  state_->queued += line;
  state_->changed.NotifyAll();
}

void LogSink::set_pattern(const std::string& pattern) {
  set_formatter(std::make_unique<spdlog::pattern_formatter>(pattern));
}

void LogSink::set_formatter(std::unique_ptr<spdlog::formatter> formatter) {
  const MutexLock lock(state_->mutex);
  state_->formatter = std::move(formatter);
}

absl::Status LogSink::OpenFile(const std::string& path) {
  path_ = path;
  return Reopen();
}

absl::Status LogSink::Reopen() {
  if (path_.empty()) return absl::OkStatus();
  ESE_ASSIGN_OR_RETURN(const int descriptor, OpenLogFile(path_));
  const MutexLock lock(state_->mutex);
  const int unused = std::exchange(state_->next_descriptor, descriptor);
  if (unused >= 0) close(unused);
  return absl::OkStatus();
}

bool LogSink::Flush(Duration limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  const MutexLock lock(state_->mutex);
  while (state_->writing || !state_->queued.empty()) {
    if (!state_->changed.WaitUntil(state_->mutex, end)) break;
  }
  return !state_->writing && state_->queued.empty();
}

void LogSink::Stop(Duration limit) {
  Flush(limit);
  const MutexLock lock(state_->mutex);
  state_->stopping = true;
  state_->counter = nullptr;
  state_->changed.NotifyAll();
}

}  // namespace ese
