// SPDX-License-Identifier: Apache-2.0
#include "load/testing.h"

#include <atomic>
#include <sstream>

#include "base/test_paths.h"
#include "gtest/gtest.h"

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

}  // namespace ese
