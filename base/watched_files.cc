// SPDX-License-Identifier: Apache-2.0
#include "base/watched_files.h"

#include <pthread.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ese {

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  std::string content;
  char buffer[4096];
  while (file != nullptr) {
    const size_t count = std::fread(buffer, 1, sizeof buffer, file.get());
    content.append(buffer, count);
    if (count < sizeof buffer) break;
  }
  if (file != nullptr && std::ferror(file.get()) == 0) return content;
  return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", std::strerror(errno)));
}

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
  std::string before = reported_;
  while (!WaitForStop()) {
    std::string now = Look();
    if (now == before && now != reported_) {
      reported_ = now;
      on_change_();
    }
    before = std::move(now);
  }
}

bool WatchedFiles::WaitForStop() {
  const auto end = std::chrono::steady_clock::now() + interval_;
  const MutexLock lock(mutex_);
  while (!stopping_ && stop_.WaitUntil(mutex_, end)) {
  }
  return stopping_;
}

}  // namespace ese
