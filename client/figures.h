// SPDX-License-Identifier: Apache-2.0
// Measured figures as lines of JSON: {"name":"demo.p99_ms","value":1.5,"unit":"ms"}.
#pragma once

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ese {

// Appends figures to a file. Open it before the measurement, so that a path that cannot be written
// is reported at once.
class FigureFile {
 public:
  // Returns the system's error (PERMISSION_DENIED, NOT_FOUND, ...) with the path.
  static absl::StatusOr<FigureFile> Open(const std::string& path);

  // REQUIRES: value is finite
  void Append(const std::string& name, double value, absl::string_view unit);

  // DATA_LOSS if a line could not be written, for example because the disk is full.
  absl::Status Close();

 private:
  FigureFile(std::string path, std::ofstream file);

  std::string path_;
  std::ofstream file_;
};

}  // namespace ese
