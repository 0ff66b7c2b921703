// SPDX-License-Identifier: Apache-2.0
// Addresses of the form HOST:PORT, as --listen and --metrics take them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ese {

struct ListenAddress {
  std::string host;  // a name, an IPv4 address, or an IPv6 address in brackets
  int port = 0;      // 0 means any free port
};

// INVALID_ARGUMENT if `text` is not HOST:PORT with a port from 0 to 65535.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// Returns a socket that listens at the address; the caller closes it. UNAVAILABLE names the
// address, the reason and the remedy.
absl::StatusOr<int> Listen(const ListenAddress& address);

// Finds out why gRPC failed to listen, which it does not report, by trying the same with a plain
// socket. UNAVAILABLE names the address, the reason and the remedy.
absl::Status TryListen(const ListenAddress& address);

}  // namespace ese
