// SPDX-License-Identifier: Apache-2.0
// Keeps track of the frames and answers of one stream, and bounds how many are held in memory.
//
//   chunk --AddChunk--> undelivered --NextFrames/Pushed--> scheduler --AddAnswer--> unsent
//                                                            --TakeResponse--> write --Written-->
//                                                            gone
//
// At most `window` frames are between Pushed and Written, at most one chunk is undelivered, and at
// most `window` chunks are between AddChunk and Written. When a bound is reached, WantsChunk()
// returns false. The call then leaves the next message unread, and gRPC's flow control holds the
// client back. So neither a client that writes fast nor one that reads slowly can make the server's
// memory grow.
//
// When a checkpoint is due, the frames after it are held back from the scheduler until all frames
// before it have been answered. Then the stream stands still at that frame, and its state can be
// copied.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "base/clock.h"
#include "ese/v1/speech.pb.h"

namespace ese {

struct OutgoingResponse {
  v1::StreamingInferResponse message;
  std::vector<TimePoint> chunk_arrivals;  // arrival times of the chunks that it finishes answering
};

// Not thread-safe.
class StreamFlow {
 public:
  struct Options {
    size_t frame_bytes = 1;        // at least 1
    int window = 1;                // at least 1
    int64_t first_frame = 0;       // number of the first frame that will be added
    int64_t checkpoint_every = 0;  // in frames; 0 means only on request
  };

  // `greeting` is the first response.
  StreamFlow(const Options& options, v1::StreamingInferResponse greeting);

  bool WantsChunk() const;
  // Adds the frames [n][frame_bytes] that a chunk completed; n may be 0. Does nothing
  // after HandOver. REQUIRES: WantsChunk(), or HandOver was called.
  void AddChunk(std::vector<int8_t> frames, TimePoint arrival);
  // No more chunks follow.
  void EndInput();

  // Makes a checkpoint due after the frames of all chunks so far. Does nothing after HandOver.
  // REQUIRES: WantsChunk(), or HandOver was called.
  void RequestCheckpoint();
  // Makes a checkpoint due after the frames that the scheduler already has, and ends the stream
  // with it. Drops the other frames and all chunks that are added later.
  void HandOver();
  // No more answers follow, because the scheduler has ended the stream. REQUIRES: HandOver() was
  // called.
  void EndAnswers();
  // Returns true if the stream stands still after frames_answered() frames and a checkpoint is due
  // there. Then call AddCheckpoint.
  bool CheckpointDue() const { return frames_answered_ == CheckpointFrame(); }
  void AddCheckpoint(v1::Checkpoint checkpoint);
  bool input_ended() const { return input_ended_; }
  int64_t frames_answered() const { return frames_answered_; }
  // Returns true if the checkpoint of HandOver has been written.
  bool HandedOver() const { return handing_over_ && !requested_checkpoint_ && AllWritten(); }

  // Returns the frames that may be pushed now, at most `room` and perhaps none. They
  // are valid until the next non-const call.
  absl::Span<const int8_t> NextFrames(int room) const;
  // The scheduler has taken these frames.
  void Pushed(absl::Span<const int8_t> frames);

  // Adds the answer to the next frames. Its first_frame and num_frames must be set.
  void AddAnswer(v1::StreamingInferResponse answer);

  // Returns the next response to write, if there is one. Waiting answers are merged up to a bound.
  // The last response has is_final set. REQUIRES: Written() has been called for the previous one.
  std::optional<OutgoingResponse> TakeResponse();
  // The response that was taken has been written.
  void Written();

 private:
  struct OpenChunk {
    int64_t end_frame;  // the chunk is answered when this many frames are answered
    TimePoint arrival;
  };

  OutgoingResponse& AddUnsent(v1::StreamingInferResponse message);
  // Returns the last unsent response. Adds an empty one if there is none or it is the greeting.
  OutgoingResponse& LastUnsent();
  // Makes the last unsent response report the chunks that are completely answered by now.
  void ReportAnsweredChunks();
  bool AllAnswered() const;
  bool AllWritten() const;
  // Returns the frame at which the next checkpoint is due.
  int64_t CheckpointFrame() const;

  const Options options_;

  std::vector<int8_t> unpushed_;
  size_t pushed_bytes_ = 0;  // bytes at the front of unpushed_ that have been pushed
  bool input_ended_ = false;
  bool handing_over_ = false;

  // The numbers of frames after which checkpoints are due.
  std::optional<int64_t> requested_checkpoint_;
  int64_t periodic_checkpoint_;
  bool request_pending_ = false;  // the checkpoint of RequestCheckpoint has not been written yet

  int64_t frames_received_;
  int64_t frames_pushed_;
  int64_t frames_answered_;
  int64_t frames_written_;
  int64_t chunks_received_ = 0;
  int64_t chunks_done_ = 0;
  int64_t chunks_written_ = 0;

  std::deque<OpenChunk> open_chunks_;  // chunks that are not completely answered
  std::deque<OutgoingResponse> unsent_;
  int64_t frames_in_write_ = 0;
  int64_t chunks_in_write_ = 0;
  bool checkpoint_in_write_ = false;
  bool writing_ = false;
  bool final_taken_ = false;
};

}  // namespace ese
