// SPDX-License-Identifier: Apache-2.0
// Keeps track of which answers the user of a stream has been shown, over all calls of the stream.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ese/v1/speech.pb.h"

namespace ese {

// Not thread-safe.
class AnswerLedger {
 public:
  // A new call begins. Its answers start at frame `first_frame`. Its first chunk is the stream's
  // chunk `first_chunk`, or the end part of that chunk.
  void BeginCall(int64_t first_frame, int64_t first_chunk);

  // Takes the next response of the current call. Returns false if nothing in it is new. Otherwise
  // returns true: show the response to the user. The frames that the user has already seen have
  // then been cut off, and chunks_done counts from the beginning of the stream.
  //   DATA_LOSS            the server left out or repeated frames
  //   FAILED_PRECONDITION  the server continued the stream with a different model
  absl::StatusOr<bool> Accept(v1::StreamingInferResponse* response);

  int64_t frames() const { return frames_; }  // frames shown
  int64_t chunks() const { return chunks_; }  // chunks whose frames have all been shown
  // Whether the server has accepted the current call, or any call of the stream.
  bool call_accepted() const { return call_accepted_; }
  bool ever_accepted() const { return ever_accepted_; }
  bool is_final() const { return final_; }  // the final response has been shown

 private:
  absl::Status Begin(const v1::StreamingInferResponse& response);

  int64_t frames_ = 0;
  int64_t chunks_ = 0;
  bool final_ = false;
  bool ever_accepted_ = false;
  std::string fingerprint_;  // identifies the model that the stream began with

  // The current call:
  bool call_accepted_ = false;
  int64_t next_frame_ = 0;    // the next frame that the server should answer
  int64_t chunk_offset_ = 0;  // the stream's count of chunks minus the call's
};

}  // namespace ese
