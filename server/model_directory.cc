// SPDX-License-Identifier: Apache-2.0
#include "server/model_directory.h"

#include <sys/stat.h>

#include <filesystem>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {
namespace {

constexpr int64_t kNanoseconds = 1'000'000'000;

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * kNanoseconds + time.tv_nsec; }

}  // namespace

bool ModelDirectory::StampOf(const std::string& path, Stamp* stamp) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  *stamp = {.written_ns = Nanoseconds(info.st_mtim),
            .changed_ns = Nanoseconds(info.st_ctim),
            .size = info.st_size,
            .inode = info.st_ino};
  return true;
}

absl::StatusOr<std::map<std::string, ModelDirectory::Stamp>> ModelDirectory::List() const {
  std::map<std::string, Stamp> files;
  std::error_code error;
  std::filesystem::directory_iterator it(path_, error);
  while (!error && it != std::filesystem::directory_iterator()) {
    const std::filesystem::path& path = it->path();
    Stamp stamp;
    const bool model = path.extension() == ".ese" && path.filename().string().front() != '.';
    if (model && StampOf(path.string(), &stamp)) files.emplace(path.string(), stamp);
    it.increment(error);
  }
  if (!error) return files;
  return absl::NotFoundError(absl::StrCat("cannot list the models in ", path_, ": ",
                                          error.message(), "; give a folder with --model-dir"));
}

absl::StatusOr<ModelDirectory::Changes> ModelDirectory::Poll() {
  ESE_ASSIGN_OR_RETURN(const auto files, List());
  Changes changes;
  std::set<std::pair<Stamp, std::string>> due;
  for (const auto& [path, stamp] : files) {
    KnownFile& known = known_[path];
    const bool unchanged = known.stamp == stamp;
    if (!unchanged) {
      known.stamp = stamp;
      known.read = false;
    }
    if (!known.read && (unchanged || !polled_)) due.emplace(stamp, path);
  }
  polled_ = true;
  for (const auto& [stamp, path] : due) {
    auto model = Read(path);
    KnownFile& known = known_[path];
    Stamp now;
    if (!StampOf(path, &now) || now != stamp) continue;  // left to the next poll
    known.read = known.reported = true;
    changes.read.push_back({path, std::move(model)});
  }
  std::erase_if(known_, [&](const auto& entry) {
    if (files.contains(entry.first)) return false;
    if (entry.second.reported) changes.gone.push_back(entry.first);
    return true;
  });
  return changes;
}

void ModelDirectory::Forget() {
  for (auto& [path, known] : known_) known.read = false;
}

absl::StatusOr<std::shared_ptr<const Model>> ModelDirectory::Read(const std::string& path) {
  Stamp stamp;
  if (!StampOf(path, &stamp)) {
    return absl::NotFoundError(absl::StrCat(path, ": the file no longer exists"));
  }
  if (stamp.size > kMaxFileBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": the file has ", stamp.size, " bytes; a model may have at most ", kMaxFileBytes));
  }
  return Model::ReadFile(path);
}

}  // namespace ese
