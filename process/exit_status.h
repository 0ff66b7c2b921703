// SPDX-License-Identifier: Apache-2.0
// How the server ends, as its supervisor sees it.
#pragma once

namespace ese {

// The values are exit statuses. docs/operations.md and --help list them.
enum class ExitStatus : int {
  kDrained = 0,       // a signal came, and all streams ended by themselves
  kFailed = 1,        // the server could not start
  kUsage = 2,         // the command line does not parse
  kTimeUp = 3,        // streams were still open at the end of the drain
  kSecondSignal = 4,  // a second signal ended the drain
  kAtOnce = 5,        // SIGQUIT, a third signal, or a signal before the server was ready
  kStuck = 6,         // the server did not come to its end in time
  kNoResources = 7,   // the system refused a thread or another resource
};

inline constexpr char kExitStatusHelp[] =
    "Signals: SIGTERM and SIGINT drain; a second one ends the open streams, a third one ends the\n"
    "server at once. SIGQUIT ends it at once. SIGHUP opens the log file again and reads the "
    "models\n"
    "of the folder again.\n"
    "Exit status: 0 drained; 1 could not start; 2 wrong command line; 3 streams were still open "
    "at\n"
    "the end of the drain; 4 a second signal ended the drain; 5 ended at once by a signal; 6 did "
    "not\n"
    "end in time; 7 the system refused a thread or another resource.";

}  // namespace ese
