// SPDX-License-Identifier: Apache-2.0
// What a command reads from and prints to; tests give their own.
#pragma once

#include <ostream>

namespace ese {

struct Console {
  int in;  // file descriptor
  std::ostream& out;
  std::ostream& err;
};

}  // namespace ese
