// SPDX-License-Identifier: Apache-2.0
#include "base/test_paths.h"

namespace ese {

std::string SourceDir() { return ESE_SOURCE_DIR; }

std::string BinaryDir() { return ESE_BINARY_DIR; }

}  // namespace ese
