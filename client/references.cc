// SPDX-License-Identifier: Apache-2.0
#include "client/references.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "base/status.h"

namespace ese {
namespace {

constexpr char kLayout[] =
    "the header line must name the columns file and phones, separated by tabs";

using Row = std::vector<std::string>;

struct Columns {
  size_t count = 0;
  size_t file = 0;
  size_t phones = 0;
  std::optional<size_t> set;
  std::optional<size_t> text;
};

std::optional<size_t> Find(const Row& header, absl::string_view name) {
  const auto at = std::find(header.begin(), header.end(), name);
  if (at == header.end()) return std::nullopt;
  return at - header.begin();
}

absl::StatusOr<Columns> ParseHeader(const std::string& path, const Row& header) {
  const std::optional<size_t> file = Find(header, "file");
  const std::optional<size_t> phones = Find(header, "phones");
  if (!file || !phones) return absl::InvalidArgumentError(absl::StrCat(path, ":1: ", kLayout));
  return Columns{header.size(), *file, *phones, Find(header, "set"), Find(header, "text")};
}

absl::Status AddRow(const Columns& columns, const std::string& where, const Row& row,
                    References* references) {
  if (row.size() != columns.count) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": has ", row.size(),
                                                   " columns, the header ", columns.count,
                                                   "; separate columns by a single tab"));
  }
  Reference reference;
  reference.phones = absl::StrSplit(row[columns.phones], ' ', absl::SkipEmpty());
  if (columns.set) reference.set = row[*columns.set];
  if (columns.text) reference.text = row[*columns.text];
  const std::string file = std::filesystem::path(row[columns.file]).filename().string();
  if (file.empty() || reference.phones.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": has no file or no phones; fill them in or remove the line"));
  }
  if (!references->emplace(file, std::move(reference)).second) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": ", file, " occurs twice; remove one of the lines"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<References> ReadReferences(const std::string& path) {
  errno = 0;
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path)) {
    return absl::ErrnoToStatus(errno != 0 ? errno : EISDIR,
                               absl::StrCat(path, ": cannot be read; check the path"));
  }
  References references;
  std::optional<Columns> columns;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const Row row = absl::StrSplit(line, '\t');
    if (!columns) {
      ESE_ASSIGN_OR_RETURN(columns, ParseHeader(path, row));
      continue;
    }
    ESE_RETURN_IF_ERROR(AddRow(*columns, absl::StrCat(path, ":", number), row, &references));
  }
  if (!columns) return absl::InvalidArgumentError(absl::StrCat(path, ": is empty; ", kLayout));
  return references;
}

}  // namespace ese
