// SPDX-License-Identifier: Apache-2.0
// Reads and writes whole files.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ese {

// Reads all bytes of a file. Errors: NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT for a folder;
// each message names the path.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Writes `bytes` to `path` completely or not at all: it writes a temporary file in the same folder
// and renames it once the bytes are on disk. Until then, an existing file at `path` stays as it is.
// Error messages name the path and, when the disk is full, how many bytes are needed.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes);

}  // namespace ese
