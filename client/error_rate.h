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
  int64_t deletions = 0;   // in the reference only
  int64_t insertions = 0;  // recognised only

  int64_t errors() const { return substitutions + deletions + insertions; }
  // errors / reference; above 1 where much was inserted. REQUIRES: reference > 0
  double rate() const { return static_cast<double>(errors()) / static_cast<double>(reference); }
  ErrorCounts& operator+=(const ErrorCounts& other);
};

// One column of an alignment. An empty side: nothing stands opposite.
struct AlignedPair {
  std::string reference;
  std::string recognised;
};

struct Alignment {
  ErrorCounts counts;
  std::vector<AlignedPair> pairs;
};

// An alignment with the fewest errors, each kind costing one. Of several such, the one that, read
// from the end, takes a match or substitution before a deletion, and that before an insertion.
// Time and memory grow with reference.size() * recognised.size(), one byte each.
Alignment Align(absl::Span<const std::string> reference, absl::Span<const std::string> recognised);

}  // namespace ese
