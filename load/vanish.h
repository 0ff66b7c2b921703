// SPDX-License-Identifier: Apache-2.0
// Clients that vanish: they connect, send, and disappear, again and again. Look at the server's own
// metrics for what they leave behind in it.
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
  std::map<std::string, LoadTally::Errors> errors;  // cycles that could not connect, by code
};

// Runs `cycles` cycles, options.streams of them at the same time. Each cycle makes its own
// connection, opens a stream on it, and cuts the connection without any HTTP/2 message. The moment
// of the cut alternates: at once, when the config has been sent, when a chunk has been sent, and
// when the chunk has been answered. Fails only if no cycle is possible, as RunLoad does.
absl::StatusOr<VanishReport> RunVanish(const LoadOptions& options, int64_t cycles,
                                       const std::atomic<bool>& stop);

}  // namespace ese
