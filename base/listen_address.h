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

}  // namespace ese
