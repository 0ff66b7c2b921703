// SPDX-License-Identifier: Apache-2.0
// `ese-client stream`: live audio from standard input, units printed as they are heard.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "client/console.h"
#include "client/content.h"
#include "client/resuming_stream.h"

namespace ese {

struct LiveOptions {
  std::string model;  // empty: the server's only one
  InputKind input = InputKind::kAudio;
  int rate_hz = 16000;  // of the samples on standard input: signed 16-bit little-endian, mono
  bool times = false;   // one unit a line, with its time
};

// Streams console.in to its end. Prints each unit at once; a sample cut in half at the end is
// dropped, with a warning.
absl::Status RunLive(const ResumingClientOptions& servers, const LiveOptions& options,
                     Console& console);

// Reads from a file descriptor until told to stop, without waiting for input that may never come.
class InterruptibleInput {
 public:
  // Does not own `fd`. `ok()` tells whether the system gave it what it needs.
  explicit InterruptibleInput(int fd);
  ~InterruptibleInput();
  InterruptibleInput(const InterruptibleInput&) = delete;
  InterruptibleInput& operator=(const InterruptibleInput&) = delete;

  bool ok() const { return wake_ >= 0; }
  // Fills `buffer`; returns less only at the end of the input, after Interrupt, or on an error.
  size_t Read(char* buffer, size_t size);
  // Makes Read return, now and from now on. From any thread.
  void Interrupt();

 private:
  int fd_;
  int wake_;  // an eventfd
};

}  // namespace ese
