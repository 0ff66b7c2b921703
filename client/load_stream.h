// One stream of a load test, on gRPC's callbacks: no thread of its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "client/latency_recorder.h"
#include "client/load_source.h"
#include "ese/v1/speech.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"

namespace ese {

// What all streams add to. Thread-safe.
class LoadTally {
 public:
  struct Errors {
    int64_t count = 0;
    std::string example;  // the first one's message
  };

  LatencyRecorder latency;
  std::atomic<int64_t> chunks_due{0};  // scheduled by now
  std::atomic<int64_t> chunks_answered{0};
  std::atomic<int64_t> frames{0};  // answered

  void NoteAccepted();
  void NoteEnd(bool accepted, const grpc::Status& status);
  // Waits until every stream was accepted or has ended, or that many have ended; false at
  // `deadline`.
  bool AwaitAccepted(int streams, TimePoint deadline);
  bool AwaitEnded(int streams, TimePoint deadline);

  int accepted() const;                          // ever
  int ended() const;                             // with or without an error
  int completed() const;                         // answered to the end, with OK
  std::map<std::string, Errors> errors() const;  // by the name of the status code

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int accepted_ = 0;
  int refused_ = 0;  // ended before they were accepted
  int ended_ = 0;
  int completed_ = 0;
  std::map<std::string, Errors> errors_;
};

// Plays one stream. The On... reactions are called by gRPC's threads, all others by one thread,
// the pacer.
class LoadStream final
    : public grpc::ClientBidiReactor<v1::StreamingInferRequest, v1::StreamingInferResponse> {
 public:
  // All must outlive the stream.
  LoadStream(int number, const LoadSource* source, LoadTally* tally, const Clock* clock);

  // Opens the call. The stream must then live until the tally has noted its end.
  void Open(v1::SpeechInference::Stub& stub);

  // The speaker has said another chunk at `scheduled`: it is sent as soon as the connection takes
  // it. Its latency counts from `scheduled` on, however late it is sent, so that a server that
  // slows the sending down does not hide its delay (coordinated omission).
  void Due(TimePoint scheduled);
  // Flat out: sends the next chunk whenever fewer than `window` are unanswered.
  void RunFlatOut(int window);
  // No chunk will be due any more: ends the content after what is due.
  void Finish();
  // Gives the call up if the server has not accepted it; `timeout` is how long it has had.
  void GiveUpUnlessAccepted(Duration timeout);
  // Gives the call up if an answer has been due for longer than `timeout`.
  void CheckStalled(TimePoint now, Duration timeout);
  // Gives the call up; counted as DEADLINE_EXCEEDED unless it had ended.
  void GiveUp(const std::string& reason);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  using Lock = std::lock_guard<std::mutex>;

  // Starts what can be started now. REQUIRES: mutex_ is held
  void Pump();
  void AddDue(TimePoint scheduled);

  const int number_;
  const LoadSource& source_;
  LoadTally& tally_;
  const Clock& clock_;
  grpc::ClientContext context_;

  std::mutex mutex_;
  v1::StreamingInferRequest request_;    // being written while write_busy_
  v1::StreamingInferResponse response_;  // being read
  std::deque<TimePoint> unanswered_;  // when each chunk was due; the last `unsent_` wait to be sent
  int64_t unsent_ = 0;
  int64_t sent_ = 0;
  int64_t answered_ = 0;
  int window_ = 0;  // 0: chunks come by Due
  bool write_busy_ = false;
  bool finishing_ = false;
  bool half_closed_ = false;
  bool accepted_ = false;
  bool final_ = false;
  bool closed_ = false;   // the reading side has ended: nothing may be started any more
  std::string given_up_;  // why, if so
};

}  // namespace ese
