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
  // REQUIRES: frame_bytes >= 1, window >= 1. `greeting` is the first response.
  StreamFlow(size_t frame_bytes, int window, v1::StreamingInferResponse greeting);

  bool WantsChunk() const;
  // Frames [n][frame_bytes] that a chunk completed; n may be 0. REQUIRES: WantsChunk().
  void AddChunk(std::vector<int8_t> frames, TimePoint arrival);
  // No chunk follows.
  void EndInput();

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
  // Counts the chunks that are wholly answered by now into the last unsent response.
  void SettleChunks();
  bool AllAnswered() const;

  const size_t frame_bytes_;
  const int window_;

  std::vector<int8_t> undelivered_;
  size_t delivered_bytes_ = 0;  // of undelivered_
  bool input_ended_ = false;

  int64_t frames_received_ = 0;
  int64_t frames_pushed_ = 0;
  int64_t frames_answered_ = 0;
  int64_t frames_written_ = 0;
  int64_t chunks_received_ = 0;
  int64_t chunks_done_ = 0;
  int64_t chunks_written_ = 0;

  std::deque<ChunkMark> marks_;  // chunks not wholly answered
  std::deque<OutgoingResponse> unsent_;
  int64_t frames_in_write_ = 0;
  int64_t chunks_in_write_ = 0;
  bool final_taken_ = false;
};

}  // namespace ese
