// SPDX-License-Identifier: Apache-2.0
#include "base/listen_address.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ese {

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text) {
  const auto colon = text.rfind(':');
  ListenAddress address;
  const bool split = colon != absl::string_view::npos && colon > 0;
  const bool ok = split && absl::SimpleAtoi(text.substr(colon + 1), &address.port) &&
                  address.port >= 0 && address.port <= 65535;
  if (ok) address.host = std::string(text.substr(0, colon));
  const bool bare_ipv6 = address.host.find(':') != std::string::npos &&
                         (address.host.front() != '[' || address.host.back() != ']');
  const bool list = address.host.find(',') != std::string::npos;
  if (!ok || bare_ipv6 || list) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text,
                     "\" is not HOST:PORT; write for example 127.0.0.1:7700 or [::1]:7700 (port 0 "
                     "takes a free one)"));
  }
  return address;
}

}  // namespace ese
