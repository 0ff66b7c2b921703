// SPDX-License-Identifier: Apache-2.0
// The flags of ese-client and ese-load for TLS and tokens.
#pragma once

#include <CLI/CLI.hpp>

#include "client/access.h"

namespace ese {

// Adds the flags to `app`, and takes the token from the environment variable ESE_TOKEN. No flag
// takes the token itself, because everyone on a machine can see the command lines. `options` must
// outlive `app`.
void AddAccessFlags(CLI::App& app, AccessOptions* options);

}  // namespace ese
