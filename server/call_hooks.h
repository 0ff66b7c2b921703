// SPDX-License-Identifier: Apache-2.0
// Tells the owner of the connections which of them are worth keeping.
#pragma once

#include <functional>
#include <string>

namespace ese {

// Each call is reported once, on the thread of its loop, so these functions must be thread-safe and
// quick. `peer` is gRPC's name of the other end of the connection, such as "ipv4:127.0.0.1:40000".
// A function may be empty. A call that is reset before gRPC has handed it over is not reported.
struct CallHooks {
  // The call's config, or its request if the method takes no config, has come and can be read.
  std::function<void(const std::string& peer)> on_useful_call;
  // The call has ended without one: it was reset, refused or too late, or its first message was
  // bad.
  std::function<void(const std::string& peer)> on_wasted_call;
};

}  // namespace ese
