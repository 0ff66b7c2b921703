// SPDX-License-Identifier: Apache-2.0
// Tells the owner of the connections what their calls do.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "server/connection.h"

namespace ese {

struct CallHooks {
  // Returns the connection of a new call, to which the call reports; null if it is not known.
  // `peer` is gRPC's name of the other end, such as "ipv4:127.0.0.1:40000". Called on the threads
  // of all loops, so it must be thread-safe and quick. May be empty.
  //
  // A call that is reset before gRPC has handed it over reports nothing.
  std::function<std::shared_ptr<Connection>(const std::string& peer)> find_connection;
};

}  // namespace ese
