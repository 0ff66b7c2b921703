// SPDX-License-Identifier: Apache-2.0
// `ese-client transcribe`: prints the units recognised in recordings, and their phone error rate.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/console.h"
#include "client/content.h"
#include "client/resuming_stream.h"

namespace ese {

struct TranscribeOptions {
  std::vector<std::string> files;
  std::string model;  // empty: the server's only model
  InputKind input = InputKind::kAudio;
  bool times = false;      // print the time of each unit
  std::string references;  // path of a table, see references.h; empty: none
  std::string json;        // path of a file for the figure <prefix>.per; empty: none
  std::string prefix = "demo";
};

// Transcribes the files one after the other. If a file fails, its error is printed to console.err
// and the others are still transcribed. Returns false if anything failed.
bool RunTranscribe(const ResumingClientOptions& servers, const TranscribeOptions& options,
                   Console& console);

}  // namespace ese
