// SPDX-License-Identifier: Apache-2.0
// Finds out why a channel does not connect, because gRPC says no more than "handshake failed".
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "client/access.h"

namespace ese {

// Connects to the address once more, with sockets and a TLS handshake of its own, and returns an
// error that names the reason and the remedy: UNAVAILABLE if nothing listens there, if one side
// speaks TLS and the other does not, or if one side does not accept the other's certificate. Waits
// no longer than `timeout` for each step. Thread-safe.
absl::Status DiagnoseConnection(const std::string& address, const AccessOptions& access,
                                Duration timeout);

}  // namespace ese
