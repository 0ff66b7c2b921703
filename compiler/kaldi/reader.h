// SPDX-License-Identifier: Apache-2.0
// The parts that Kaldi's text and binary files are made of.
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
// space, its numbers begin with their size in bytes, its matrices and vectors with "FM ", "DM ",
// "FV " or "DV ". In a text file all is separated by white space and matrices are in brackets, a
// row a line. Errors are INVALID_ARGUMENT and say what was expected at which byte; none is longer
// than a line, whatever the file has. Not thread-safe.
class KaldiReader {
 public:
  // `bytes` must outlive this.
  explicit KaldiReader(absl::string_view bytes);

  bool binary() const { return binary_; }
  // Whether a token like "<CellDim>" is next.
  bool NextIsToken();
  absl::StatusOr<std::string> Token();
  absl::StatusOr<int> Integer();
  absl::StatusOr<double> Number();
  absl::StatusOr<KaldiMatrix> Matrix();
  // One row.
  absl::StatusOr<KaldiMatrix> Vector();
  // A list of integers: in a binary file their size in bytes, their number, then they themselves.
  absl::StatusOr<std::vector<int>> Integers();

 private:
  absl::StatusOr<KaldiMatrix> BinaryValues(bool is_matrix);
  absl::StatusOr<KaldiMatrix> TextValues(bool is_matrix);
  absl::Status Append(double value, KaldiMatrix* to) const;
  void SkipSpace();
  // Up to the next white space.
  absl::string_view Word();
  template <typename T>
  T Raw();
  absl::Status Expected(absl::string_view what) const;

  absl::string_view bytes_;
  size_t at_ = 0;
  bool binary_ = false;
};

}  // namespace ese
