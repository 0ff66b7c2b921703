// SPDX-License-Identifier: Apache-2.0
// One stream from its content to its recognised units: sends and receives at once.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/content.h"
#include "client/resuming_stream.h"

namespace ese {

// Where the content comes from, and where the answers go.
struct RecognizeHooks {
  // Puts the next chunk into *chunk, empty if there is none yet; false: the content has ended.
  // Called from a thread of its own.
  std::function<absl::StatusOr<bool>(std::string* chunk)> next_chunk;
  // A response, in order. Called from Recognize's own thread.
  std::function<void(const v1::StreamingInferResponse&)> on_response;
  // Makes a waiting next_chunk return: the call has ended. May be empty where next_chunk never
  // waits.
  std::function<void()> interrupt;
};

// Runs one stream that asks for units, until it has ended and next_chunk has returned.
// FAILED_PRECONDITION if the model has no blank unit; otherwise the error of next_chunk, or of the
// stream.
absl::Status Recognize(const ResumingClient& client, const v1::Model& model, InputKind kind,
                       const RecognizeHooks& hooks);

}  // namespace ese
