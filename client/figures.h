// SPDX-License-Identifier: Apache-2.0
// Measured figures as lines of JSON: {"name":"demo.p99_ms","value":1.5,"unit":"ms"}.
#pragma once

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ese {

// Appends figures to a file. Open it before the work whose figures it is to take, so that a path
// that cannot be written is found at once and not after the measurement.
class FigureFile {
 public:
  // PERMISSION_DENIED, NOT_FOUND, ... as the system says, naming the path.
  static absl::StatusOr<FigureFile> Open(const std::string& path);

  // REQUIRES: value is finite
  void Append(const std::string& name, double value, absl::string_view unit);

  // DATA_LOSS if a line could not be written (a full disk, say).
  absl::Status Close();

 private:
  FigureFile(std::string path, std::ofstream file);

  std::string path_;
  std::ofstream file_;
};

}  // namespace ese
