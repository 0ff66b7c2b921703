// SPDX-License-Identifier: Apache-2.0
// What happens if the system refuses to start a thread: a message instead of an abort.
#pragma once

#include "absl/status/status.h"

namespace ese {

// Tries whether the system lets this process start `count` more threads, by starting and ending
// them. Call it before code that cannot go on without its threads. RESOURCE_EXHAUSTED: it does not;
// the message says how many it allowed and what to do.
absl::Status CheckThreadsCanStart(int count);

// Makes a thread that cannot be started end the program with a message and kNoResources, if nothing
// catches the exception. Call it once, at the beginning.
void ExplainMissingThreads();

}  // namespace ese
