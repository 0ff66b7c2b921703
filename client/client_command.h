// SPDX-License-Identifier: Apache-2.0
// The command line of ese-client.
#pragma once

#include "client/console.h"

namespace ese {

// Parses the arguments and runs the command. Returns the program's exit status.
int ClientMain(int argc, const char* const* argv, Console console);

}  // namespace ese
