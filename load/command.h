// SPDX-License-Identifier: Apache-2.0
// The command line of ese-load.
#pragma once

#include <atomic>

#include "client/console.h"

namespace ese {

// Parses the arguments, runs the load and prints the report. Returns the program's exit status,
// which is not 0 if a stream failed or nothing was answered. `stop` is that of RunLoad.
int LoadMain(int argc, const char* const* argv, Console console, const std::atomic<bool>& stop);

}  // namespace ese
