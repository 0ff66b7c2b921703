// SPDX-License-Identifier: Apache-2.0
#include "compiler/kaldi/reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {
namespace {

constexpr int kMaxTokenBytes = 64;

}  // namespace

KaldiReader::KaldiReader(absl::string_view bytes) : bytes_(bytes) {
  binary_ = absl::StartsWith(bytes, absl::string_view("\0B", 2));
  if (binary_) at_ = 2;
}

absl::Status KaldiReader::Expected(absl::string_view what) const {
  return absl::InvalidArgumentError(absl::StrCat("expected ", what, " at byte ", at_, " of ",
                                                 bytes_.size(),
                                                 "; the file is cut off or damaged, or has data "
                                                 "that this component does not have"));
}

void KaldiReader::SkipSpace() {
  while (at_ < bytes_.size() && absl::ascii_isspace(bytes_[at_])) ++at_;
}

absl::string_view KaldiReader::Word() {
  size_t end = at_;
  while (end < bytes_.size() && !absl::ascii_isspace(bytes_[end])) ++end;
  const absl::string_view word = bytes_.substr(at_, end - at_);
  at_ = end;
  return word;
}

bool KaldiReader::NextIsToken() {
  SkipSpace();  // after a binary token, only its one space can come here
  return at_ < bytes_.size() && bytes_[at_] == '<';
}

absl::StatusOr<std::string> KaldiReader::Token() {
  if (!NextIsToken()) return Expected("a token like <Nnet>");
  const size_t begin = at_;
  const absl::string_view word = Word();
  // Error messages print tokens, so bytes that could control a terminal are refused.
  const bool is_text = std::all_of(word.begin(), word.end(), absl::ascii_isgraph);
  if (word.size() > kMaxTokenBytes || word.back() != '>' || !is_text) {
    at_ = begin;
    return Expected("a token like <Nnet>");
  }
  if (at_ < bytes_.size()) ++at_;  // the one space
  return std::string(word);
}

template <typename T>
T KaldiReader::Raw() {
  T value;
  std::memcpy(&value, bytes_.data() + at_, sizeof(value));
  at_ += sizeof(value);
  return value;
}

absl::StatusOr<int> KaldiReader::Integer() {
  if (binary_) {
    if (bytes_.size() - at_ < 5 || bytes_[at_] != 4) return Expected("a 32-bit integer");
    ++at_;
    return Raw<int32_t>();
  }
  SkipSpace();
  int value = 0;
  const size_t begin = at_;
  if (absl::SimpleAtoi(Word(), &value)) return value;
  at_ = begin;
  return Expected("an integer");
}

absl::StatusOr<double> KaldiReader::Number() {
  if (binary_) {
    const size_t left = bytes_.size() - at_;
    if (left >= 5 && bytes_[at_] == 4) return ++at_, double{Raw<float>()};
    if (left >= 9 && bytes_[at_] == 8) return ++at_, Raw<double>();
    return Expected("a 32-bit or 64-bit number");
  }
  SkipSpace();
  double value = 0;
  const size_t begin = at_;
  if (absl::SimpleAtod(Word(), &value)) return value;
  at_ = begin;
  return Expected("a number");
}

absl::StatusOr<KaldiMatrix> KaldiReader::Matrix() {
  return binary_ ? BinaryValues(/*is_matrix=*/true) : TextValues(/*is_matrix=*/true);
}

absl::StatusOr<KaldiMatrix> KaldiReader::Vector() {
  return binary_ ? BinaryValues(/*is_matrix=*/false) : TextValues(/*is_matrix=*/false);
}

absl::StatusOr<std::vector<int>> KaldiReader::Integers() {
  std::vector<int> integers;
  if (binary_) {
    ESE_ASSIGN_OR_RETURN(const int count, Integer());
    if (count < 0 || static_cast<size_t>(count) > (bytes_.size() - at_) / sizeof(int32_t)) {
      return Expected(absl::StrCat(count, " integers"));
    }
    for (int k = 0; k < count; ++k) integers.push_back(Raw<int32_t>());
    return integers;
  }
  SkipSpace();
  if (Word() != "[") return Expected("the [ of a list of integers");
  while (true) {
    SkipSpace();
    const KaldiReader before = *this;
    if (Word() == "]") return integers;
    *this = before;
    ESE_ASSIGN_OR_RETURN(const int integer, Integer());
    integers.push_back(integer);
  }
}

absl::Status KaldiReader::Append(double value, KaldiMatrix* to) const {
  const auto real = static_cast<float>(value);
  if (!std::isfinite(real)) {
    return absl::InvalidArgumentError(absl::StrCat("a value before byte ", at_, " is ", value,
                                                   "; the training failed or the file is damaged"));
  }
  to->values.push_back(real);
  return absl::OkStatus();
}

absl::StatusOr<KaldiMatrix> KaldiReader::BinaryValues(bool is_matrix) {
  const absl::string_view kind = bytes_.substr(at_, 3);
  const bool is_double = kind == (is_matrix ? "DM " : "DV ");
  if (!is_double && kind != (is_matrix ? "FM " : "FV ")) {
    return Expected(is_matrix ? "a matrix of floats (\"FM \" or \"DM \"; nnet-copy writes "
                                "compressed ones as such)"
                              : "a vector of floats (\"FV \" or \"DV \")");
  }
  at_ += 3;
  KaldiMatrix to;
  to.rows = 1;
  if (is_matrix) {
    ESE_ASSIGN_OR_RETURN(to.rows, Integer());
  }
  ESE_ASSIGN_OR_RETURN(to.columns, Integer());
  const size_t size = is_double ? 8 : 4;
  const bool fits = to.rows >= 0 && to.columns >= 0 &&
                    (to.columns == 0 ||
                     static_cast<uint64_t>(to.rows) <= (bytes_.size() - at_) / size / to.columns);
  if (!fits) return Expected(absl::StrCat(to.rows, " x ", to.columns, " numbers"));
  const int64_t count = to.rows * to.columns;
  to.values.reserve(count);
  for (int64_t k = 0; k < count; ++k) {
    ESE_RETURN_IF_ERROR(Append(is_double ? Raw<double>() : double{Raw<float>()}, &to));
  }
  return to;
}

// The rows of a matrix end with their lines: " [\n 1 2\n 3 4 ]\n".
absl::StatusOr<KaldiMatrix> KaldiReader::TextValues(bool is_matrix) {
  SkipSpace();
  if (Word() != "[") return Expected(is_matrix ? "the [ of a matrix" : "the [ of a vector");
  KaldiMatrix to;
  size_t row_begin = 0;
  const auto end_row = [&]() -> absl::Status {
    const auto columns = static_cast<int64_t>(to.values.size() - row_begin);
    if (columns == 0) return absl::OkStatus();
    if (to.rows > 0 && columns != to.columns) {
      return Expected(absl::StrCat(to.columns, " numbers in row ", to.rows, ", not ", columns));
    }
    to.columns = columns;
    ++to.rows;
    row_begin = to.values.size();
    return absl::OkStatus();
  };
  while (true) {
    while (at_ < bytes_.size() && absl::ascii_isspace(bytes_[at_])) {
      if (is_matrix && bytes_[at_] == '\n') ESE_RETURN_IF_ERROR(end_row());
      ++at_;
    }
    if (at_ == bytes_.size()) return Expected("the ] of a matrix or vector");
    const absl::string_view word = Word();
    if (word == "]") break;
    double value = 0;
    if (!absl::SimpleAtod(word, &value)) return Expected("a number before");
    ESE_RETURN_IF_ERROR(Append(value, &to));
  }
  ESE_RETURN_IF_ERROR(end_row());
  return to;
}

}  // namespace ese
