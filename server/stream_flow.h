// SPDX-License-Identifier: Apache-2.0
// The flow of one stream's frames and answers, and the bound on both.
//
//   chunk --AddChunk--> undelivered --NextFrames/Pushed--> scheduler --AddAnswer--> unsent
//                                                            --TakeResponse--> write --Written-->
//                                                            gone
//
// At most `window` frames are between Pushed and Written, at most one chunk is undelivered, and at
// most `window` chunks are between AddChunk and Written. Where the bound is reached WantsChunk() is
// false: the next message stays unread, and gRPC's flow control holds the client back. So neither a
// fast writer nor a slow reader makes the server's memory grow.
//
// Checkpoints: frames from a due one on are held back from the scheduler until the frames before it
// are answered; then the stream stands still at that frame, and its state can be had.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "base/clock.h"
#include "ese/v1/speech.pb.h"

namespace ese {

// A response to write, and when the chunks came that it completes the answers of.
struct OutgoingResponse {
  v1::StreamingInferResponse message;
  std::vector<TimePoint> chunk_arrivals;
};

// Not thread-safe.
class StreamFlow {
 public:
  struct Options {
    size_t frame_bytes = 1;        // at least 1
    int window = 1;                // at least 1
    int64_t first_frame = 0;       // the stream's next frame
    int64_t checkpoint_every = 0;  // frames; 0: only when asked for
  };

  // `greeting` is the first response.
  StreamFlow(const Options& options, v1::StreamingInferResponse greeting);

  bool WantsChunk() const;
  // Frames [n][frame_bytes] that a chunk completed; n may be 0. REQUIRES: WantsChunk().
  void AddChunk(std::vector<int8_t> frames, TimePoint arrival);
  // No chunk follows.
  void EndInput();

  // A checkpoint is due after the frames of the chunks so far. REQUIRES: WantsChunk().
  void RequestCheckpoint();
  // A checkpoint is due as soon as can be, and is the last thing: what is not in the scheduler yet
  // is dropped, and so are chunks that still come.
  void HandOver();
  // No more answers follow, because the scheduler has ended the stream. REQUIRES: HandOver() was
  // called.
  void EndAnswers();
  // The stream stands still after frames_answered() frames; call AddCheckpoint.
  bool CheckpointDue() const { return frames_answered_ == CheckpointFrame(); }
  void AddCheckpoint(v1::Checkpoint checkpoint);
  bool input_ended() const { return input_ended_; }
  int64_t frames_answered() const { return frames_answered_; }
  // The checkpoint of HandOver has been written.
  bool HandedOver() const { return handing_over_ && !requested_ && AllWritten(); }

  // The undelivered frames that may be pushed now, at most `room`; may be empty. Valid until the
  // next non-const call.
  absl::Span<const int8_t> NextFrames(int room) const;
  void Pushed(absl::Span<const int8_t> frames);

  // The answer to the next frames; first_frame and num_frames are set.
  void AddAnswer(v1::StreamingInferResponse answer);

  // What to write next, if anything. Answers that wait are merged up to a bound. The last one has
  // is_final. REQUIRES: Written() was called for the one before.
  std::optional<OutgoingResponse> TakeResponse();
  void Written();

 private:
  struct ChunkMark {
    int64_t end_frame;  // the chunk is answered when this many frames are
    TimePoint arrival;
  };

  OutgoingResponse& AddUnsent(v1::StreamingInferResponse message);
  // The last unsent response, or an empty one where there is none that may grow.
  OutgoingResponse& LastUnsent();
  // Counts the chunks that are wholly answered by now into the last unsent response.
  void SettleChunks();
  bool AllAnswered() const;
  bool AllWritten() const;
  // Where the next checkpoint is due.
  int64_t CheckpointFrame() const;

  const Options options_;

  std::vector<int8_t> undelivered_;
  size_t delivered_bytes_ = 0;  // of undelivered_
  bool input_ended_ = false;
  bool handing_over_ = false;

  std::optional<int64_t> requested_;  // a checkpoint after this many frames
  int64_t next_periodic_;             // likewise
  bool request_open_ = false;         // RequestCheckpoint's is not written yet

  int64_t frames_received_;
  int64_t frames_pushed_;
  int64_t frames_answered_;
  int64_t frames_written_;
  int64_t chunks_received_ = 0;
  int64_t chunks_done_ = 0;
  int64_t chunks_written_ = 0;

  std::deque<ChunkMark> marks_;  // chunks not wholly answered
  std::deque<OutgoingResponse> unsent_;
  int64_t frames_in_write_ = 0;
  int64_t chunks_in_write_ = 0;
  bool checkpoint_in_write_ = false;
  bool writing_ = false;
  bool final_taken_ = false;
};

}  // namespace ese
