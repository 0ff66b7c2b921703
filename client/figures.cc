// SPDX-License-Identifier: Apache-2.0
#include "client/figures.h"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ese {

absl::StatusOr<FigureFile> FigureFile::Open(const std::string& path) {
  errno = 0;
  std::ofstream file(path, std::ios::app);
  if (!file) {
    return absl::ErrnoToStatus(
        errno != 0 ? errno : EIO,
        absl::StrCat(path, ": cannot be written; choose a path that you may write for --json"));
  }
  return FigureFile(path, std::move(file));
}

FigureFile::FigureFile(std::string path, std::ofstream file)
    : path_(std::move(path)), file_(std::move(file)) {}

void FigureFile::Append(const std::string& name, double value, absl::string_view unit) {
  nlohmann::ordered_json line;
  line["name"] = name;
  line["value"] = nlohmann::json::parse(absl::StrCat(value));  // six digits
  line["unit"] = std::string(unit);
  file_ << line.dump() << '\n';
}

absl::Status FigureFile::Close() {
  file_.close();
  if (!file_) {
    return absl::DataLossError(
        absl::StrCat(path_, ": figures could not be written; is the disk full?"));
  }
  return absl::OkStatus();
}

}  // namespace ese
