// SPDX-License-Identifier: Apache-2.0
// One stream of a load test: its speaker's clock, its calls, and its answers.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "client/reconnect_policy.h"
#include "client/resume_cursor.h"
#include "load/call.h"
#include "load/connection.h"
#include "load/source.h"
#include "load/tally.h"

namespace ese {

// What every stream of a run does.
struct LoadBehaviour {
  bool flat_out = false;     // sends as fast as answers come, not on a clock
  int window = 8;            // number of unanswered chunks, if flat_out
  int64_t max_chunks = 0;    // per stream; 0: no limit
  bool ends_at_max = false;  // true: the content ends after max_chunks; false: it pauses there
  bool resumes = false;      // true: the stream continues after a break; false: it ends
  uint32_t checkpoint_every_frames = 0;
  std::string tenant;
  int priority = 0;
  bool return_units = false;
  bool return_posteriors = false;
  bool keeps_hashes = false;  // keeps the hash after every frame, see AnswerHash
  ReconnectOptions reconnect;
};

// A hash of a stream's posteriors up to each frame. Equal hashes mean equal bits, except with a
// probability of 1 in 2^64.
class AnswerHash {
 public:
  explicit AnswerHash(bool keeps_all) : keeps_all_(keeps_all) {}
  void Add(const v1::StreamingInferResponse& response);

  int64_t frames() const { return frames_; }
  uint64_t value() const { return value_; }
  // The hash after each frame, if keeps_all.
  const std::vector<uint64_t>& values() const { return values_; }

 private:
  const bool keeps_all_;
  int64_t frames_ = 0;
  uint64_t value_ = 14695981039346656037u;
  std::vector<uint64_t> values_;
};

class LoadStream;

// The timers of streams, in the order of their times. Not thread-safe.
class LoadTimers {
 public:
  enum class Kind {
    kOpen,  // open a call
    kDue,   // a chunk is due
  };
  struct Timer {
    TimePoint at;
    LoadStream* stream;
    Kind kind;
    bool operator>(const Timer& other) const { return at > other.at; }
  };

  void Add(const Timer& timer) { timers_.push(timer); }
  bool empty() const { return timers_.empty(); }
  // REQUIRES: !empty()
  TimePoint next() const { return timers_.top().at; }
  Timer Pop() {
    const Timer timer = timers_.top();
    timers_.pop();
    return timer;
  }

 private:
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
};

// What the streams of one thread share. It must outlive them.
struct LoadEnvironment {
  const LoadBehaviour& behaviour;
  const LoadSource& source;
  LoadTally& tally;
  const Clock& clock;
  LoadConnections& connections;
  grpc::CompletionQueue& queue;
  LoadTimers& timers;
  int& live;  // streams that have not ended
};

// All functions are called on one thread.
class LoadStream final : public LoadCall::Handler {
 public:
  // `phase` is the offset of its clock, from 0 up to the duration of a chunk.
  LoadStream(int number, Duration phase, const LoadEnvironment* environment);

  // Opens the first call. Also called for a timer of kind kOpen, to open the next call.
  void Open();
  // The speaker begins. Chunks become due on the stream's clock, or as others are answered.
  void BeginToSpeak(TimePoint from);
  // Another chunk was due at `scheduled`. It is sent as soon as the connection accepts it. Its
  // latency counts from `scheduled` even if it is sent late, so that a server that delays the
  // sending cannot hide that delay (coordinated omission). Returns false if no further chunk will
  // become due.
  bool Due(TimePoint scheduled);
  // No further chunk will become due. Ends the content after the chunks that are due already.
  void Finish();
  // Gives the stream up if the server has not accepted it. `timeout` is how long the server had.
  void GiveUpUnlessAccepted(Duration timeout);
  // Gives the stream up if an answer has been due for longer than `timeout`.
  void CheckStalled(TimePoint now, Duration timeout);
  // Gives the stream up, which counts as DEADLINE_EXCEEDED, unless it has ended.
  void GiveUp(const std::string& reason);

  int number() const { return number_; }
  bool ended() const { return ended_; }
  // Chunks sent, not counting those that were sent again.
  int64_t chunks_sent() const { return most_sent_; }
  const AnswerHash& hash() const { return hash_; }

  void OnAnswer(v1::StreamingInferResponse* response) override;
  void OnWritable() override { Pump(); }
  void OnEnd(const absl::Status& status) override;

 private:
  // Sends what can be sent now: a chunk, or the end of the content.
  void Pump();
  void AddDue(TimePoint scheduled);
  void NoteAcceptance();
  void NoteChunks(const v1::StreamingInferResponse& response);
  // The call has ended or could not be started.
  void AfterCall(const absl::Status& status);
  void End(const absl::Status& status);

  const int number_;
  const Duration phase_;
  const LoadEnvironment& environment_;
  const LoadBehaviour& behaviour_;

  std::unique_ptr<LoadCall> call_;
  v1::StreamingInferRequest request_;  // reused for every chunk
  ResumeCursor cursor_;
  AnswerHash hash_;
  ReconnectPolicy policy_;
  std::optional<TimePoint> broken_at_;  // set from a break to the acceptance of the next call

  std::deque<TimePoint> unanswered_;  // when each chunk was due
  int64_t due_ = 0;
  int64_t sent_ = 0;       // the current call has sent the stream's chunks up to here
  int64_t most_sent_ = 0;  // the greatest value of sent_ in any call
  int64_t answered_ = 0;
  bool flat_out_ = false;  // the stream is flat out and has begun to speak
  bool finishing_ = false;
  bool half_closed_ = false;  // the current call
  bool ended_ = false;
  absl::Status failure_;  // why the stream is given up; OK: it is not given up
};

}  // namespace ese
