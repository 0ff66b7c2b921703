// SPDX-License-Identifier: Apache-2.0
// Where a command reads its input and prints its output; tests pass their own.
#pragma once

#include <ostream>

namespace ese {

struct Console {
  int in;  // file descriptor
  std::ostream& out;
  std::ostream& err;
};

}  // namespace ese
