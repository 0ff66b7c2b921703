// SPDX-License-Identifier: Apache-2.0
// Folders from which tests read files and start programs. They are functions of a library and not
// macros, so that a test's object file is the same in every clone and the compiler cache finds it.
#pragma once

#include <string>

namespace ese {

std::string SourceDir();  // the root of the clone
std::string BinaryDir();  // the root of this build, whose bin folder has the programs

}  // namespace ese
