// SPDX-License-Identifier: Apache-2.0
// Reading files that a user named, whatever they turn out to be.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"

namespace ese {

// An open regular file.
class RegularFile {
 public:
  // Opens the file for reading, and never waits for a peer as opening a FIFO does. Follows links.
  // NOT_FOUND and PERMISSION_DENIED as the system reports them; INVALID_ARGUMENT: a folder, FIFO,
  // device or socket. The messages name the file.
  static absl::StatusOr<RegularFile> Open(const std::string& path);

  int descriptor() const { return fd_.get(); }
  size_t size() const { return size_; }  // in bytes, when it was opened

  // Reads the next bytes of the file. Returns how many, fewer than wanted if the file ends before.
  absl::StatusOr<size_t> Read(absl::Span<char> bytes);

 private:
  RegularFile(std::string path, UniqueFd fd, size_t size);

  std::string path_;
  UniqueFd fd_;
  size_t size_;
};

// Enough for keys, certificates and token files.
inline constexpr size_t kMaxSmallFileBytes = size_t{4} << 20;

// Returns the contents of a small file. INVALID_ARGUMENT: it has more than `max_bytes` bytes. Also
// returns the errors of RegularFile::Open.
absl::StatusOr<std::string> ReadRegularFile(const std::string& path, size_t max_bytes);

}  // namespace ese
