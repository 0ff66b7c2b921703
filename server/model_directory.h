// SPDX-License-Identifier: Apache-2.0
// A folder of compiled models, looked at again and again. Looking and not inotify: it works on
// every file system, network and overlay ones too, loses no event, and costs a stat a file.
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
    std::vector<File> read;         // new or changed, in the order in which they were last written
    std::vector<std::string> gone;  // that were read before
  };

  explicit ModelDirectory(std::string path) : path_(std::move(path)) {}

  // What has changed in the folder's *.ese since the last look. The first look reads every file; a
  // later one reads a file that it finds as the look before found it, so that files which are being
  // copied are left alone. An error: the folder cannot be listed; nothing is known of its files.
  absl::StatusOr<Changes> Look();

  // A model in memory: its file may be overwritten at any time. Errors as of Model::FromFile.
  static absl::StatusOr<std::shared_ptr<const Model>> Read(const std::string& path);

 private:
  // What changes whenever a file's content may have. Ordered by the time of the last write.
  struct Stamp {
    int64_t written_ns = 0;
    int64_t changed_ns = 0;
    int64_t size = 0;
    uint64_t inode = 0;
    auto operator<=>(const Stamp&) const = default;
  };
  struct Known {
    Stamp stamp;
    bool read = false;      // as it is
    bool reported = false;  // in whatever state
  };

  static bool StampOf(const std::string& path, Stamp* stamp);
  absl::StatusOr<std::map<std::string, Stamp>> List() const;

  const std::string path_;
  bool looked_ = false;
  std::map<std::string, Known> known_;
};

}  // namespace ese
