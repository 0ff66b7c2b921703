// SPDX-License-Identifier: Apache-2.0
// The file that exists while the server serves, so that a supervisor can wait for it.
#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "base/unique_fd.h"

namespace ese {

// Thread-safe.
class ReadyFile {
 public:
  // An empty path means no file; then all functions do nothing. Touches nothing yet.
  explicit ReadyFile(std::string path);
  // Calls Remove.
  ~ReadyFile();
  ReadyFile(const ReadyFile&) = delete;
  ReadyFile& operator=(const ReadyFile&) = delete;

  // Finds out early that Write would fail. INVALID_ARGUMENT: something that is not a regular file
  // is at the path.
  absl::Status Check() const;
  // Writes the file: a reader sees either all of it or what was there before. It replaces a regular
  // file, which a server that was killed may have left. Returns an error if it cannot be written,
  // and those of Check.
  absl::Status Write(absl::string_view text) ABSL_LOCKS_EXCLUDED(mutex_);
  // Removes the file that Write has written, unless another one has replaced it.
  void Remove() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Status Error(int error) const;

  const std::string path_;
  Mutex mutex_;
  // The file that Write has written, if any. As long as it is open, no other file can have its
  // number.
  UniqueFd written_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
