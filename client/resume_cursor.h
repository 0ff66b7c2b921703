// SPDX-License-Identifier: Apache-2.0
// Tracks the position of a stream that may go through several calls: what has been answered, and
// where its next call starts.
//
// The owner keeps or can recompute the stream's content. After a break it opens a call with
// config() and sends the content again from byte checkpoint_bytes() on. The cursor takes the
// responses of that call and lets each frame through only once.
#pragma once

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "client/answer_ledger.h"
#include "client/reconnect_policy.h"
#include "ese/v1/speech.pb.h"

namespace ese {

// Not thread-safe.
class ResumeCursor {
 public:
  // `config` is the stream's own, without a resume token.
  explicit ResumeCursor(v1::StreamingConfig config) : config_(std::move(config)) {}

  // The config for the next call. It carries the token of the last checkpoint, if there was one.
  const v1::StreamingConfig& config() const { return config_; }

  // A new call begins, at the last checkpoint. `first_chunk` is the number within the stream of the
  // first chunk that the call sends. The chunk's beginning may be left out.
  void BeginCall(int64_t first_chunk);

  // What a response meant.
  struct Answer {
    bool shown = false;       // show it to the user: something in it is new
    bool acceptance = false;  // it is the first response of its call
    bool checkpoint = false;  // it moved checkpoint_frames() and checkpoint_bytes()
  };
  // Takes the next response of the current call and removes its checkpoint. Errors are those of
  // AnswerLedger::Accept.
  absl::StatusOr<Answer> Accept(v1::StreamingInferResponse* response);

  // How far the current call got, for ReconnectPolicy.
  ReconnectPolicy::Progress progress() const;

  // What the user has been shown, over all calls.
  const AnswerLedger& ledger() const { return ledger_; }
  // The last checkpoint's place in the stream; 0 before the first.
  int64_t checkpoint_frames() const { return checkpoint_frames_; }
  int64_t checkpoint_bytes() const { return checkpoint_bytes_; }

 private:
  v1::StreamingConfig config_;
  AnswerLedger ledger_;
  int64_t checkpoint_frames_ = 0;
  int64_t checkpoint_bytes_ = 0;
  bool news_ = false;  // the current call brought an answer or a checkpoint
};

}  // namespace ese
