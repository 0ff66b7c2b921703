// SPDX-License-Identifier: Apache-2.0
// Which answers of a stream its user has had, over all the calls that the stream went through.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "ese/v1/speech.pb.h"

namespace ese {

// Not thread-safe.
class AnswerLedger {
 public:
  // A call begins that answers from frame `first_frame` on; its first chunk is the stream's chunk
  // `first_chunk`, or the rest of it.
  void BeginCall(int64_t first_frame, int64_t first_chunk);

  // Takes the next response of the call at hand. True: it is to be shown to the user; frames that
  // the user has had are cut off it, and chunks are counted over the whole stream. False: nothing
  // in it is new. DATA_LOSS if the server left out or repeated frames; FAILED_PRECONDITION if it
  // goes on with another model than the stream began with.
  absl::StatusOr<bool> Accept(v1::StreamingInferResponse* response);

  int64_t frames() const { return frames_; }  // shown
  int64_t chunks() const { return chunks_; }  // shown as wholly answered
  // The server has accepted the call at hand; any call.
  bool call_accepted() const { return call_accepted_; }
  bool ever_accepted() const { return ever_accepted_; }
  bool is_final() const { return final_; }  // the final response has been shown

 private:
  absl::Status Begin(const v1::StreamingInferResponse& response);

  int64_t frames_ = 0;
  int64_t chunks_ = 0;
  bool final_ = false;
  bool ever_accepted_ = false;
  std::string fingerprint_;  // of the model that the stream began with

  bool call_accepted_ = false;
  int64_t next_frame_ = 0;    // of the call
  int64_t chunk_offset_ = 0;  // from the call's count to the stream's
};

}  // namespace ese
