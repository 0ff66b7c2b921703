// SPDX-License-Identifier: Apache-2.0
// Clients that walk away: connect, send, vanish, again and again. What it leaves in the server is
// for the server's own figures to tell.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "load/generator.h"
#include "load/tally.h"

namespace ese {

struct VanishReport {
  int64_t vanished = 0;
  double seconds = 0;
  std::map<std::string, LoadTally::Errors> errors;  // cycles that could not be begun, by code
};

// `cycles` times, options.streams at once: a connection of its own is made and a stream opened on
// it, then the connection is cut without a word of HTTP/2: in turn at once, when the config is
// sent, when a chunk is sent, and when it is answered.
absl::StatusOr<VanishReport> RunVanish(const LoadOptions& options, int64_t cycles,
                                       const std::atomic<bool>& stop);

}  // namespace ese
