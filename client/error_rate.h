// SPDX-License-Identifier: Apache-2.0
// Phone error rate: the Levenshtein distance between reference and recognised phones, as speech
// recognition scores it (NIST sclite; Kaldi's compute-wer).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/types/span.h"

namespace ese {

// Counts of one alignment, or the sums of several.
struct ErrorCounts {
  int64_t reference = 0;  // phones in the reference
  int64_t substitutions = 0;
  int64_t deletions = 0;   // phones that only the reference has
  int64_t insertions = 0;  // phones that only the recognised text has

  int64_t errors() const { return substitutions + deletions + insertions; }
  // errors / reference, which exceeds 1 if many phones were inserted. REQUIRES: reference > 0
  double rate() const { return static_cast<double>(errors()) / static_cast<double>(reference); }
  ErrorCounts& operator+=(const ErrorCounts& other);
};

// One column of an alignment. A side is empty if it has no counterpart.
struct AlignedPair {
  std::string reference;
  std::string recognised;
};

struct Alignment {
  ErrorCounts counts;
  std::vector<AlignedPair> pairs;
};

// Finds an alignment with the fewest errors, where each kind of error costs one. If there are
// several, it decides from the end backwards: it prefers a match or substitution to a deletion, and
// a deletion to an insertion. Time is proportional to reference.size() * recognised.size(), and so
// is memory, at one byte per pair.
Alignment Align(absl::Span<const std::string> reference, absl::Span<const std::string> recognised);

}  // namespace ese
