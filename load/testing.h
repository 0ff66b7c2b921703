// SPDX-License-Identifier: Apache-2.0
// What the tests of the load generator share: a short run against a scripted server.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/clock.h"
#include "client/fake_server.h"
#include "load/generator.h"
#include "load/report.h"

namespace ese {

// A time limit for answers that never come. It is long enough to connect and be accepted on a busy
// machine.
constexpr Duration kShortTimeout = std::chrono::seconds(2);

// A recording of speech in the repository.
std::string TestRecording();

// Six streams in real time, for 0.3 s, with chunks of 30 ms.
LoadOptions ShortRun(const FakeServer& server);

// Calls RunLoad, and fails the test if that returns an error.
LoadReport Load(const LoadOptions& options);

// What the program returned and printed.
struct Outcome {
  int status;
  std::string out;
  std::string err;
};

// Runs ese-load with these arguments.
Outcome RunCommand(const std::vector<std::string>& arguments);

// The arguments of a short run against the server, and then `more`.
std::vector<std::string> Short(const FakeServer& server, const std::vector<std::string>& more = {});

}  // namespace ese
