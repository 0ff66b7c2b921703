// SPDX-License-Identifier: Apache-2.0
// Connects plain sockets.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/unique_fd.h"

namespace ese {

// Returns a connected, non-blocking socket. `address` is HOST:PORT or
// unix:PATH. UNAVAILABLE if nothing listens there; NOT_FOUND if there is no such host;
// DEADLINE_EXCEEDED after `timeout`. Thread-safe.
absl::StatusOr<UniqueFd> DialSocket(const std::string& address, Duration timeout);

}  // namespace ese
