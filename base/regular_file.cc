// SPDX-License-Identifier: Apache-2.0
#include "base/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/printable.h"
#include "base/status.h"

namespace ese {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 16;

const char* KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

absl::Status ReadError(int error, const std::string& path) {
  return absl::ErrnoToStatus(error, absl::StrCat("cannot read ", Printable(path)));
}

}  // namespace

absl::StatusOr<RegularFile> RegularFile::Open(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (!fd && errno == ENXIO) {  // how the system refuses to open a socket
    return absl::InvalidArgumentError(
        absl::StrCat(Printable(path), " is a socket or a device, not a regular file"));
  }
  if (!fd) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", Printable(path)));
  }
  struct stat info = {};
  if (fstat(fd.get(), &info) != 0) return ReadError(errno, path);
  if (S_ISREG(info.st_mode)) {
    return RegularFile(path, std::move(fd), static_cast<size_t>(info.st_size));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(Printable(path), " is ", KindOf(info.st_mode), ", not a regular file"));
}

RegularFile::RegularFile(std::string path, UniqueFd fd, size_t size)
    : path_(std::move(path)), fd_(std::move(fd)), size_(size) {}

absl::StatusOr<size_t> RegularFile::Read(absl::Span<char> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = read(fd_.get(), bytes.data() + done, bytes.size() - done);
    if (n == 0) break;
    if (n < 0 && errno != EINTR) return ReadError(errno, path_);
    if (n > 0) done += static_cast<size_t>(n);
  }
  return done;
}

absl::StatusOr<std::string> ReadRegularFile(const std::string& path, size_t max_bytes) {
  ESE_ASSIGN_OR_RETURN(RegularFile file, RegularFile::Open(path));
  std::string text;
  // Some files, such as those of /proc, say that they have no bytes, so that only reading tells.
  for (size_t n = 1; n > 0 && text.size() <= max_bytes;) {
    const size_t before = text.size();
    text.resize(std::min(before + kBlockBytes, max_bytes + 1));
    ESE_ASSIGN_OR_RETURN(n, file.Read(absl::MakeSpan(text).subspan(before)));
    text.resize(before + n);
  }
  if (text.size() <= max_bytes) return text;
  return absl::InvalidArgumentError(
      absl::StrCat(Printable(path), " has more than ", max_bytes, " bytes; name a smaller file"));
}

}  // namespace ese
