// SPDX-License-Identifier: Apache-2.0
// Prints recognised phones beside their reference, and phone error rates by set.
#pragma once

#include <map>
#include <ostream>
#include <string>

#include "client/error_rate.h"
#include "client/references.h"

namespace ese {

// The alignment as two lines of columns, `*` where a side has nothing, wrapped to 100 characters.
void PrintScored(const std::string& path, const Reference& reference, const Alignment& alignment,
                 std::ostream& out);

// Sums by set and in all.
class ScoreTable {
 public:
  void Add(const std::string& set, const ErrorCounts& counts);
  ErrorCounts Total() const;
  // Prints nothing when nothing was added.
  void Print(std::ostream& out) const;

 private:
  struct Row {
    int files = 0;
    ErrorCounts counts;
  };
  std::map<std::string, Row> sets_;
};

}  // namespace ese
