// SPDX-License-Identifier: Apache-2.0
// The command line of ese-compile.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace ese {

// Runs `ese-compile ARGUMENTS` and returns its exit status: 0 for success, 1 for a failure, 2 for a
// wrong command line.
int RunCompiler(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err);

}  // namespace ese
