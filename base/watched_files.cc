// SPDX-License-Identifier: Apache-2.0
#include "base/watched_files.h"

#include <pthread.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ese {

WatchedFiles::WatchedFiles(std::vector<std::string> paths, Duration interval)
    : paths_(std::move(paths)), interval_(interval), reported_(Look()) {}

WatchedFiles::~WatchedFiles() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  stop_.NotifyAll();
  if (thread_.joinable()) thread_.join();
}

void WatchedFiles::Start(std::function<void()> on_change) {
  on_change_ = std::move(on_change);
  thread_ = std::thread([this] { Run(); });
}

void WatchedFiles::MarkReported() {
  std::string look = Look();
  const MutexLock lock(mutex_);
  reported_ = std::move(look);
}

std::string WatchedFiles::Look() const {
  std::string look;
  for (const std::string& path : paths_) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) {
      absl::StrAppend(&look, "error ", errno, "\n");
    } else {
      absl::StrAppend(&look, info.st_dev, " ", info.st_ino, " ", info.st_size, " ",
                      info.st_mtim.tv_sec, " ", info.st_mtim.tv_nsec, "\n");
    }
  }
  return look;
}

void WatchedFiles::Run() {
  pthread_setname_np(pthread_self(), "ese-files");
  std::string before;
  while (!WaitForStop()) {
    std::string now = Look();
    if (now == before && ShouldReport(now)) on_change_();
    before = std::move(now);
  }
}

bool WatchedFiles::ShouldReport(const std::string& look) {
  const MutexLock lock(mutex_);
  return std::exchange(reported_, look) != look;
}

bool WatchedFiles::WaitForStop() {
  const auto end = std::chrono::steady_clock::now() + interval_;
  const MutexLock lock(mutex_);
  while (!stopping_ && stop_.WaitUntil(mutex_, end)) {
  }
  return stopping_;
}

}  // namespace ese
