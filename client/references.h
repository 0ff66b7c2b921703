// SPDX-License-Identifier: Apache-2.0
// Reference transcriptions of recordings, read from a table with a header line and columns
// separated by tabs. tests/data/speech/references.tsv is an example.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ese {

struct Reference {
  std::string set;  // the group that the recording is scored with; may be empty
  std::string text;
  std::vector<std::string> phones;
};

// The key is the file's name without folders, so that the working directory does not matter.
using References = std::map<std::string, Reference>;

// Reads the columns `file` and `phones` (separated by spaces) and, if present, `set` and `text`, in
// any order. Ignores other columns and empty lines. Returns the system's error (NOT_FOUND,
// PERMISSION_DENIED), or INVALID_ARGUMENT with the line's number if a column is missing, a line has
// the wrong number of columns, a reference is empty, or a file occurs twice.
absl::StatusOr<References> ReadReferences(const std::string& path);

}  // namespace ese
