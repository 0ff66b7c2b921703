// SPDX-License-Identifier: Apache-2.0
// Keeps the content of a stream that may have to be sent again: everything since the last
// checkpoint.
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

  // Do not append while the buffer is full: a checkpoint must make room first. The last chunk
  // appended may exceed the bound.
  bool full() const { return bytes_ >= max_bytes_; }
  void Append(std::string chunk);

  bool has_unsent() const { return sent_ < chunks_.size(); }
  // Returns the next chunk to send and counts it as sent. REQUIRES: has_unsent()
  std::string Next();

  // A checkpoint covers the first `content_bytes` bytes of the stream's content, so these need not
  // be kept any longer. DATA_LOSS if the checkpoint lies before what is kept or after what has been
  // sent.
  absl::Status DropTo(int64_t content_bytes);
  // The server gives no checkpoints. Drops everything, and keeps nothing from now on.
  // REQUIRES: !has_unsent(), and all that was sent has been answered
  void StopKeeping();
  bool keeps() const { return keeps_; }

  // Everything that is kept is to be sent again. REQUIRES: keeps()
  void Rewind() { sent_ = 0; }
  // The number within the stream of the first chunk that is kept. The chunk's beginning may have
  // been dropped.
  int64_t first_chunk() const { return first_chunk_; }
  // The place of the first byte that is kept, in bytes from the beginning of the content.
  int64_t first_byte() const { return first_byte_; }
  int64_t kept_chunks() const { return static_cast<int64_t>(chunks_.size()); }

 private:
  void DropFirst();

  const size_t max_bytes_;
  std::deque<std::string> chunks_;
  size_t sent_ = 0;   // how many of chunks_ have been sent in the current call
  size_t bytes_ = 0;  // in chunks_
  int64_t first_chunk_ = 0;
  int64_t first_byte_ = 0;
  bool keeps_ = true;
};

}  // namespace ese
