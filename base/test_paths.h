// SPDX-License-Identifier: Apache-2.0
// Folders that tests read from and start programs of. They are functions of a library rather than
// macros, so that a test's object file is the same in every clone and the compiler cache finds it.
#pragma once

#include <string>

namespace ese {

std::string SourceDir();  // the root of the clone
std::string BinaryDir();  // of this build; programs are in its bin folder

}  // namespace ese
