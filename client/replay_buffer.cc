// SPDX-License-Identifier: Apache-2.0
#include "client/replay_buffer.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace ese {

void ReplayBuffer::Append(std::string chunk) {
  bytes_ += chunk.size();
  chunks_.push_back(std::move(chunk));
}

std::string ReplayBuffer::Next() {
  if (keeps_) return chunks_[sent_++];
  std::string chunk = std::move(chunks_.front());
  bytes_ -= chunk.size();
  first_byte_ += static_cast<int64_t>(chunk.size());
  ++first_chunk_;
  chunks_.pop_front();
  return chunk;
}

void ReplayBuffer::DropFirst() {
  bytes_ -= chunks_.front().size();
  first_byte_ += static_cast<int64_t>(chunks_.front().size());
  ++first_chunk_;
  --sent_;
  chunks_.pop_front();
}

absl::Status ReplayBuffer::DropTo(int64_t content_bytes) {
  if (!keeps_) return absl::OkStatus();
  const auto wrong = [&] {
    return absl::DataLossError(absl::StrCat("the server's checkpoint is at byte ", content_bytes,
                                            " of the content, which was not sent to it or is "
                                            "before its last one; see its log"));
  };
  if (content_bytes < first_byte_) return wrong();
  // An empty chunk exactly at the checkpoint has not been answered yet, so it stays.
  while (sent_ > 0 && !(first_byte_ == content_bytes && chunks_.front().empty()) &&
         first_byte_ + static_cast<int64_t>(chunks_.front().size()) <= content_bytes) {
    DropFirst();
  }
  if (content_bytes > first_byte_) {
    if (sent_ == 0) return wrong();
    const auto rest = static_cast<size_t>(content_bytes - first_byte_);
    chunks_.front().erase(0, rest);
    bytes_ -= rest;
    first_byte_ = content_bytes;
  }
  return absl::OkStatus();
}

void ReplayBuffer::StopKeeping() {
  keeps_ = false;
  while (!chunks_.empty()) DropFirst();
}

}  // namespace ese
