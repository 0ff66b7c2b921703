// SPDX-License-Identifier: Apache-2.0
// One stream of a load test: its speaker's clock, its calls, and what its answers tell.
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
#include "client/answer_ledger.h"
#include "client/reconnect_policy.h"
#include "load/call.h"
#include "load/connection.h"
#include "load/source.h"
#include "load/tally.h"

namespace ese {

// What every stream of a run does.
struct LoadBehaviour {
  bool flat_out = false;     // keeps `window` chunks unanswered, instead of sending on a clock
  int window = 8;            // when flat out
  int64_t max_chunks = 0;    // of a stream; 0: no limit
  bool ends_at_max = false;  // its content ends there; or it stays open and silent
  // Goes on after a break; or a break is the stream's end.
  bool resumes = false;
  uint32_t checkpoint_every_frames = 0;
  std::string tenant;
  int priority = 0;
  bool return_units = false;
  bool return_posteriors = false;
  bool keeps_hashes = false;  // of all frames, see AnswerHash
  ReconnectOptions reconnect;
};

// A number for each prefix of a stream's posteriors: equal only if all bits are (but for accidents
// of 1 in 2^64).
class AnswerHash {
 public:
  explicit AnswerHash(bool keeps_all) : keeps_all_(keeps_all) {}
  void Add(const v1::StreamingInferResponse& response);

  int64_t frames() const { return frames_; }
  uint64_t value() const { return value_; }
  // After each frame, if all are kept.
  const std::vector<uint64_t>& values() const { return values_; }

 private:
  const bool keeps_all_;
  int64_t frames_ = 0;
  uint64_t value_ = 14695981039346656037u;
  std::vector<uint64_t> values_;
};

class LoadStream;

// What is to happen to streams, in the order of its times. Not thread-safe.
class LoadTimers {
 public:
  enum class Kind { kOpen, kDue };
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

// What the streams of one thread share; outlives them.
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

// All on one thread.
class LoadStream final : public LoadCall::Handler {
 public:
  // `phase`: of its clock, within a chunk's time.
  LoadStream(int number, Duration phase, const LoadEnvironment* environment);

  // Opens the first call, or, when the timer that it has set for that is due, the next.
  void Open();
  // The speaker begins: chunks come due on the stream's clock, or as they are answered.
  void BeginToSpeak(TimePoint from);
  // The speaker has said another chunk at `scheduled`: it is sent as soon as the connection takes
  // it. Its latency counts from `scheduled` on, however late it is sent, so that a server that
  // slows the sending down does not hide its delay (coordinated omission). False: no more are due.
  bool Due(TimePoint scheduled);
  // No chunk will be due any more: ends the content after what is due.
  void Finish();
  // Gives the stream up if the server has not accepted it; `timeout` is how long it has had.
  void GiveUpUnlessAccepted(Duration timeout);
  // Gives it up if an answer has been due for longer than `timeout`.
  void CheckStalled(TimePoint now, Duration timeout);
  // Gives it up; counted as DEADLINE_EXCEEDED unless it had ended.
  void GiveUp(const std::string& reason);

  int number() const { return number_; }
  bool ended() const { return ended_; }
  int64_t chunks_sent() const { return most_sent_; }
  const AnswerHash& hash() const { return hash_; }

  void OnAnswer(v1::StreamingInferResponse* response) override;
  void OnWritable() override { Pump(); }
  void OnEnd(const absl::Status& status) override;

 private:
  // Sends what can be sent now.
  void Pump();
  void AddDue(TimePoint scheduled);
  void NoteAcceptance();
  void NoteChunks(const v1::StreamingInferResponse& response);
  void TakeCheckpoint(const v1::Checkpoint& checkpoint);
  // The call at hand has ended, or could not even be begun.
  void AfterCall(const absl::Status& status);
  void End(const absl::Status& status);

  const int number_;
  const Duration phase_;
  const LoadEnvironment& environment_;
  const LoadBehaviour& behaviour_;

  std::unique_ptr<LoadCall> call_;
  v1::StreamingInferRequest request_;  // used again and again
  v1::StreamingInferRequest config_;   // with the last checkpoint's token
  AnswerLedger ledger_;
  AnswerHash hash_;
  ReconnectPolicy policy_;
  int64_t checkpoint_frames_ = 0;
  int64_t checkpoint_bytes_ = 0;
  bool news_ = false;  // the call at hand brought some
  std::optional<TimePoint> broken_at_;

  std::deque<TimePoint> unanswered_;  // when each chunk was due
  int64_t due_ = 0;
  int64_t sent_ = 0;       // in the call at hand, counted from the stream's beginning
  int64_t most_sent_ = 0;  // in any call
  int64_t answered_ = 0;
  bool flat_out_ = false;  // and has begun to speak
  bool finishing_ = false;
  bool half_closed_ = false;  // the call at hand
  bool ended_ = false;
  absl::Status failure_;  // why it is given up, if so
};

}  // namespace ese
