// SPDX-License-Identifier: Apache-2.0
// Reads the tokens, numbers and matrices of Kaldi's text and binary files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ese {

struct KaldiMatrix {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<float> values;  // row-major, all finite
};

// Reads one file from front to back. A binary file begins with "\0B"; its tokens end with one
// space, its numbers begin with their size in bytes, and its matrices and vectors begin with "FM ",
// "DM ", "FV " or "DV ". In a text file, white space separates everything, and matrices stand in
// brackets with one row per line. Errors are INVALID_ARGUMENT; the message says what was expected
// at which byte and fits on one line, whatever the file contains. Not thread-safe.
class KaldiReader {
 public:
  // `bytes` must outlive this.
  explicit KaldiReader(absl::string_view bytes);

  bool binary() const { return binary_; }
  // True if a token like "<CellDim>" is next.
  bool NextIsToken();
  absl::StatusOr<std::string> Token();
  absl::StatusOr<int> Integer();
  absl::StatusOr<double> Number();
  absl::StatusOr<KaldiMatrix> Matrix();
  // The result has one row.
  absl::StatusOr<KaldiMatrix> Vector();
  // A list of integers. In a binary file the count comes first.
  absl::StatusOr<std::vector<int>> Integers();

 private:
  absl::StatusOr<KaldiMatrix> BinaryValues(bool is_matrix);
  absl::StatusOr<KaldiMatrix> TextValues(bool is_matrix);
  absl::Status Append(double value, KaldiMatrix* to) const;
  void SkipSpace();
  // The bytes up to the next white space.
  absl::string_view Word();
  template <typename T>
  T Raw();
  absl::Status Expected(absl::string_view what) const;

  absl::string_view bytes_;
  size_t at_ = 0;
  bool binary_ = false;
};

}  // namespace ese
