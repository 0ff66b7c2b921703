// SPDX-License-Identifier: Apache-2.0
// The command line of ese-client.
#pragma once

#include "client/console.h"

namespace ese {

// Parses the arguments and runs the command. Returns the exit status of the program.
int ClientMain(int argc, const char* const* argv, Console console);

}  // namespace ese
