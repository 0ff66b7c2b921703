// SPDX-License-Identifier: Apache-2.0
// The command line and configuration file of ese-server.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/channel_spec.h"
#include "server/server.h"

namespace ese {

struct ServerOptions {
  ServingOptions serving;
  std::vector<std::string> models;         // .ese files
  std::string metrics = "127.0.0.1:9700";  // HOST:PORT; empty: no /metrics
  // Of each model; ParseServerOptions: the number of cores.
  ChannelSpec channels = {.cpu = 1, .cards = false, .cards_only = {}};
  std::string xclbin;  // of the cards
  double card_hot_celsius = 90;
  bool list_channels = false;  // print what --channels may name, and end
  int pin = -1;                // CpuChannelOptions::first_processor
  int channel_threads = 1;     // of each channel
  double drain_seconds = 10;   // grace of open streams at the end
  std::string ready_file;      // empty: none
  std::string log_level = "info";
};

// What a command line asks for: to serve, or to print `text` (--help, --version) and end well.
struct CommandLine {
  ServerOptions options;
  std::string text;
};

// A status that cannot be used and the exit status that fits it: 2 for a command line that does not
// parse, 1 for a bad configuration file or value.
struct CommandLineError {
  absl::Status status;
  int exit_status = 1;
};

// Fills *out from flags and the file that --config names; flags win. OK: `exit_status` is 0.
CommandLineError ParseServerOptions(int argc, const char* const* argv, CommandLine* out);

}  // namespace ese
