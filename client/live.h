// SPDX-License-Identifier: Apache-2.0
// `ese-client stream`: reads live audio from standard input and prints units as they are
// recognised.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "client/console.h"
#include "client/content.h"
#include "client/resuming_stream.h"

namespace ese {

struct LiveOptions {
  std::string model;  // empty: the server's only model
  InputKind input = InputKind::kAudio;
  int rate_hz = 16000;  // of the samples on standard input: signed 16-bit little-endian, mono
  bool times = false;   // print one unit per line, with its time
};

// Streams console.in to its end and prints each unit at once. If the input ends in the middle of a
// sample, the incomplete sample is dropped with a warning.
absl::Status RunLive(const ResumingClientOptions& servers, const LiveOptions& options,
                     Console& console);

// Reads from a file descriptor. Another thread can end a read that is waiting for input.
class InterruptibleInput {
 public:
  // Does not take ownership of `fd`. Check ok(): the system may have refused an eventfd.
  explicit InterruptibleInput(int fd);
  ~InterruptibleInput();
  InterruptibleInput(const InterruptibleInput&) = delete;
  InterruptibleInput& operator=(const InterruptibleInput&) = delete;

  bool ok() const { return wake_ >= 0; }
  // Fills `buffer`. Returns less than `size` only at the end of the input, after Interrupt, or
  // after an error.
  size_t Read(char* buffer, size_t size);
  // Makes the current Read and all later ones return. May be called from any thread.
  void Interrupt();

 private:
  int fd_;
  int wake_;  // an eventfd
};

}  // namespace ese
