// SPDX-License-Identifier: Apache-2.0
// The command line of ese-compile.
#pragma once

#include <ostream>
#include <string>
#include <vector>

namespace ese {

// Runs `ese-compile ARGUMENTS`. Returns the exit status: 0, 1 where it failed, 2 where the command
// line was wrong.
int RunCompiler(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err);

}  // namespace ese
