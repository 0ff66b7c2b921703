// SPDX-License-Identifier: Apache-2.0
// The command line and configuration file of ese-server.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "metrics/cost.h"
#include "metrics/energy_meter.h"
#include "metrics/operator_page.h"
#include "process/process.h"
#include "server/channel_spec.h"
#include "server/server.h"

namespace ese {

struct ServerOptions {
  ServingOptions serving;
  std::vector<std::string> models;         // .ese files
  std::string metrics = "127.0.0.1:9700";  // HOST:PORT; empty turns /metrics off
  OperatorPage operator_page = OperatorPage::kLocal;
  // The channels of each model. ParseServerOptions sets the default from the number of cores.
  ChannelSpec channels = {.cpu = 1, .cards = false, .cards_only = {}};
  std::string xclbin;  // for the cards
  double card_hot_celsius = 90;
  bool list_channels = false;  // print the channels that --channels may name, then exit
  int pin = -1;                // CpuChannelOptions::first_processor
  int channel_threads = 1;     // threads in each CPU channel
  PowerOptions power;
  CostOptions cost;
  ProcessOptions process;
};

// The result of parsing a command line. If `text` is not empty (--help or --version), the program
// prints it and exits with success. Otherwise it serves with `options`.
struct CommandLine {
  ServerOptions options;
  std::string text;
};

// An error and the program's exit status for it: 2 if the command line does not parse, 1 for a bad
// configuration file or a bad value.
struct CommandLineError {
  absl::Status status;
  int exit_status = 1;
};

// Fills *out from the command line and the file that --config names; the command line takes
// precedence. `exit_status` is 0 if the status is OK.
CommandLineError ParseServerOptions(int argc, const char* const* argv, CommandLine* out);

}  // namespace ese
