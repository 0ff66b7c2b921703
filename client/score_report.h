// SPDX-License-Identifier: Apache-2.0
// Prints recognised phones below their reference, and phone error rates for each set.
#pragma once

#include <map>
#include <ostream>
#include <string>

#include "client/error_rate.h"
#include "client/references.h"

namespace ese {

// Prints the alignment as two lines of columns, wrapped at 100 characters. `*` stands for a missing
// phone.
void PrintScored(const std::string& path, const Reference& reference, const Alignment& alignment,
                 std::ostream& out);

// Error counts for each set and in total.
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
