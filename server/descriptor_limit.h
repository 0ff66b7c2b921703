// SPDX-License-Identifier: Apache-2.0
// How many file descriptors the process may have, and how many connections fit into that.
#pragma once

#include "absl/status/statusor.h"

namespace ese {

// Each connection has two descriptors: gRPC's, and that of the table of connections.
inline constexpr int kDescriptorsPerConnection = 2;
// Left for files of models, /metrics, cards and threads that start later.
inline constexpr int kReservedDescriptors = 24;
// The default of --max-connections, if the descriptors allow it. An idle connection takes about
// 25 KB, so this bounds the memory of idle connections as well.
inline constexpr int kDefaultMaxConnections = 10'000;

// Raises the soft limit of descriptors to the hard one, and returns it. Many systems have a soft
// limit of 1024 for the sake of select(2), which this program does not use.
int RaiseDescriptorLimit();

// The number of descriptors that are open now.
int OpenDescriptors();

// Returns how many connections the server may have: `wanted`, or if that is 0, as many as fit but
// at most kDefaultMaxConnections. `limit` and `open` are descriptors. RESOURCE_EXHAUSTED: fewer fit
// than are wanted, or not a single one.
absl::StatusOr<int> ChooseMaxConnections(int wanted, int limit, int open);

}  // namespace ese
