// SPDX-License-Identifier: Apache-2.0
// Finds the changes in a folder of compiled models by polling. Unlike inotify, polling works on
// every file system, including network and overlay file systems, and misses no change. It costs one
// stat for each file.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "model/model.h"

namespace ese {

// Not thread-safe.
class ModelDirectory {
 public:
  // Larger files are refused.
  static constexpr int64_t kMaxFileBytes = int64_t{2} << 30;

  struct File {
    std::string path;
    absl::StatusOr<std::shared_ptr<const Model>> model;
  };
  struct Changes {
    std::vector<File> read;         // new or changed files, in the order of their last write
    std::vector<std::string> gone;  // files that were reported before and no longer exist
  };

  explicit ModelDirectory(std::string path) : path_(std::move(path)) {}

  // Returns what has changed in the folder's *.ese files since the last poll. The first poll reads
  // every file. Later polls read a new or changed file only when it has stayed the same since the
  // previous poll, because it may still be being copied. NOT_FOUND: the folder cannot be listed, so
  // nothing is known about its files.
  absl::StatusOr<Changes> Poll();

  // Makes the next poll read every file again, as long as it has not changed since the last poll.
  void Forget();

  // Reads a model into memory, because its file may be overwritten at any time. Returns the errors
  // of Model::FromFile.
  static absl::StatusOr<std::shared_ptr<const Model>> Read(const std::string& path);

 private:
  // Changes whenever the content of a file may have changed. Ordered by the time of the last write.
  struct Stamp {
    int64_t written_ns = 0;
    int64_t changed_ns = 0;
    int64_t size = 0;
    uint64_t inode = 0;
    auto operator<=>(const Stamp&) const = default;
  };
  struct KnownFile {
    Stamp stamp;
    bool read = false;      // with this stamp
    bool reported = false;  // with this or an earlier stamp
  };

  static bool StampOf(const std::string& path, Stamp* stamp);
  absl::StatusOr<std::map<std::string, Stamp>> List() const;

  const std::string path_;
  bool polled_ = false;
  std::map<std::string, KnownFile> known_;
};

}  // namespace ese
