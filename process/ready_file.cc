// SPDX-License-Identifier: Apache-2.0
#include "process/ready_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/printable.h"
#include "base/status.h"

namespace ese {
namespace {

bool WriteText(int descriptor, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(descriptor, text.data(), text.size());
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) text.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

ReadyFile::ReadyFile(std::string path) : path_(std::move(path)) {}

ReadyFile::~ReadyFile() { Remove(); }

absl::Status ReadyFile::Check() const {
  struct stat there = {};
  if (path_.empty() || lstat(path_.c_str(), &there) != 0) return absl::OkStatus();
  if (S_ISREG(there.st_mode)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--ready-file ", Printable(path_),
                   " exists and is not a regular file; it stays as it is; name another file"));
}

absl::Status ReadyFile::Error(int error) const {
  return absl::PermissionDeniedError(absl::StrCat("cannot write the ready file ", Printable(path_),
                                                  ": ", std::strerror(error),
                                                  "; choose another with --ready-file"));
}

absl::Status ReadyFile::Write(absl::string_view text) {
  if (path_.empty()) return absl::OkStatus();
  Remove();
  ESE_RETURN_IF_ERROR(Check());
  std::string part = absl::StrCat(path_, ".XXXXXX");
  UniqueFd file(mkostemp(part.data(), O_CLOEXEC));
  if (!file) return Error(errno);
  const bool done = WriteText(file.get(), text) && fchmod(file.get(), 0644) == 0 &&
                    std::rename(part.c_str(), path_.c_str()) == 0;
  if (!done) {
    const int error = errno;
    unlink(part.c_str());
    return Error(error);
  }
  const MutexLock lock(mutex_);
  written_ = std::move(file);
  return absl::OkStatus();
}

void ReadyFile::Remove() {
  const MutexLock lock(mutex_);
  const UniqueFd written = std::move(written_);
  if (!written) return;
  struct stat ours = {}, there = {};
  if (fstat(written.get(), &ours) == 0 && lstat(path_.c_str(), &there) == 0 &&
      ours.st_dev == there.st_dev && ours.st_ino == there.st_ino) {
    unlink(path_.c_str());
  }
}

}  // namespace ese
