// SPDX-License-Identifier: Apache-2.0
// The command line of ese-load.
#pragma once

#include <atomic>

#include "client/console.h"

namespace ese {

// Parses the arguments, runs the load and reports it. Returns the exit status of the program: not 0
// if a stream failed or nothing was answered. `stop` as for RunLoad.
int LoadMain(int argc, const char* const* argv, Console console, const std::atomic<bool>& stop);

}  // namespace ese
