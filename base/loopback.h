// SPDX-License-Identifier: Apache-2.0
// Tells addresses that only this machine can reach from others.
#pragma once

#include "absl/strings/string_view.h"

namespace ese {

// Returns whether only programs on this machine can connect to a server that listens at `address`:
// a path with the prefix unix: or unix-abstract:, or HOST:PORT where HOST stands for loopback
// addresses only. A host that cannot be resolved does not count.
bool IsLocalAddress(absl::string_view address);

}  // namespace ese
