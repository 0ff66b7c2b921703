// SPDX-License-Identifier: Apache-2.0
// What was said in recordings: a table of tabs with a header line, as tests/data/speech has one.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ese {

struct Reference {
  std::string set;  // the group of recordings that it is scored with; may be empty
  std::string text;
  std::vector<std::string> phones;
};

// By the file's name without folders, so that recordings are found from any directory.
using References = std::map<std::string, Reference>;

// Reads the columns `file` and `phones` (separated by spaces), and `set` and `text` where there are
// such, in any order; ignores other columns and empty lines.
// NOT_FOUND or PERMISSION_DENIED as the system says; INVALID_ARGUMENT names the line: a column is
// missing, a line has another number of columns, a reference is empty, a file comes twice.
absl::StatusOr<References> ReadReferences(const std::string& path);

}  // namespace ese
