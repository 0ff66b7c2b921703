// SPDX-License-Identifier: Apache-2.0
// Runs one stream from its content to its recognised units. Sends and receives at the same time.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/content.h"
#include "client/resuming_stream.h"

namespace ese {

// Content is sent in blocks of 100 ms, live or not, because the server bounds how many frames of a
// stream may wait.
inline constexpr int kBlocksPerSecond = 10;

// Where the content comes from, and where the answers go.
struct RecognizeHooks {
  // Puts the next chunk into *chunk, or leaves it empty if there is none yet. Returns false if the
  // content has ended (*chunk is sent even then). Called on a thread of its own.
  std::function<absl::StatusOr<bool>(std::string* chunk)> next_chunk;
  // Called with each response, in order, on the thread that called Recognize.
  std::function<void(const v1::StreamingInferResponse&)> on_response;
  // Called when the stream has ended. If next_chunk is waiting, this must make it return. May be
  // empty if next_chunk never waits.
  std::function<void()> interrupt;
};

// Runs one stream that asks for units. Returns once the stream has ended and next_chunk has
// returned. FAILED_PRECONDITION if the model has no blank unit; otherwise the error of next_chunk
// or of the stream.
absl::Status Recognize(const ResumingClient& client, const v1::Model& model, InputKind kind,
                       const RecognizeHooks& hooks);

}  // namespace ese
