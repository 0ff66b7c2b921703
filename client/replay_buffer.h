// SPDX-License-Identifier: Apache-2.0
// The content of a stream that may have to be sent again: all since its last checkpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "absl/status/status.h"

namespace ese {

// Not thread-safe.
class ReplayBuffer {
 public:
  explicit ReplayBuffer(size_t max_bytes) : max_bytes_(max_bytes) {}

  // No chunk is to be appended now: a checkpoint must come first. One chunk may exceed the bound.
  bool full() const { return bytes_ >= max_bytes_; }
  void Append(std::string chunk);

  bool has_unsent() const { return sent_ < chunks_.size(); }
  // The next chunk to send. REQUIRES: has_unsent()
  std::string Next();

  // A checkpoint holds the effect of the stream's first `content_bytes` bytes. DATA_LOSS if it
  // lies outside of what is kept and has been sent.
  absl::Status DropTo(int64_t content_bytes);
  // No checkpoint is to be expected, and all that was sent is answered: keeps nothing from now on.
  // REQUIRES: !has_unsent()
  void StopKeeping();
  bool keeps() const { return keeps_; }

  // Everything kept is to be sent again. REQUIRES: keeps()
  void Rewind() { sent_ = 0; }
  // The stream's number of the first chunk kept, whose beginning may be dropped, and the offset in
  // the stream's content of the first byte kept.
  int64_t first_chunk() const { return first_chunk_; }
  int64_t first_byte() const { return first_byte_; }
  int64_t kept_chunks() const { return static_cast<int64_t>(chunks_.size()); }

 private:
  void DropFirst();

  const size_t max_bytes_;
  std::deque<std::string> chunks_;
  size_t sent_ = 0;   // of chunks_
  size_t bytes_ = 0;  // in chunks_
  int64_t first_chunk_ = 0;
  int64_t first_byte_ = 0;
  bool keeps_ = true;
};

}  // namespace ese
