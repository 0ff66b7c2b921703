// SPDX-License-Identifier: Apache-2.0
#include "load/testing.h"

#include <atomic>
#include <sstream>

#include "base/test_paths.h"
#include "gtest/gtest.h"
#include "load/command.h"

namespace ese {

std::string TestRecording() { return SourceDir() + "/tests/data/speech/vm-sorry.flac"; }

LoadOptions ShortRun(const FakeServer& server) {
  LoadOptions options;
  options.addresses = {server.address()};
  options.timeout = std::chrono::minutes(2);
  options.streams = 6;
  options.run_time = std::chrono::milliseconds(300);
  options.source.chunk_ms = 30;
  return options;
}

LoadReport Load(const LoadOptions& options) {
  const std::atomic<bool> stop{false};
  std::ostringstream progress;
  const absl::StatusOr<LoadReport> report = RunLoad(options, stop, progress);
  EXPECT_TRUE(report.ok()) << report.status();
  return *report;
}

Outcome RunCommand(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv = {"ese-load"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out;
  std::ostringstream err;
  const std::atomic<bool> stop{false};
  const int status = LoadMain(static_cast<int>(argv.size()), argv.data(), {-1, out, err}, stop);
  return {status, out.str(), err.str()};
}

std::vector<std::string> Short(const FakeServer& server, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {"--server", server.address(), "--streams", "4", "--seconds",
                                        "0.2",      "--timeout",      "100"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace ese
