// SPDX-License-Identifier: Apache-2.0
// HOST:PORT, as --listen and --metrics take it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace ese {

struct ListenAddress {
  std::string host;  // a name, an IPv4 address, or an IPv6 address in brackets
  int port = 0;      // 0: any free one
};

// INVALID_ARGUMENT where `text` is not HOST:PORT with a port of 0..65535.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// Tries to listen there, with plain sockets, and says why it does not work: gRPC tells no reason.
// UNAVAILABLE names the address, the reason and the remedy.
absl::Status TryListen(const ListenAddress& address);

}  // namespace ese
