// SPDX-License-Identifier: Apache-2.0
// Whole files in and out.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ese {

// All bytes of a regular file. NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT (a folder), all
// naming the path.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Puts `bytes` at `path` completely or not at all: they are written beside it under a temporary
// name and renamed once they are on disk. What was at `path` stays there until then. Errors name
// the path and, where the disk is full, how many bytes are needed.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view bytes);

}  // namespace ese
