// SPDX-License-Identifier: Apache-2.0
// What the streams of a load test add to.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "load/latency_recorder.h"

namespace ese {

// Thread-safe.
class LoadTally {
 public:
  struct Errors {
    int64_t count = 0;
    std::string example;  // the first one's message

    void Add(const absl::Status& status) {
      if (count++ == 0) example = std::string(status.message());
    }
  };

  // Chunks due in [from, to) are measured, others only answered.
  void MeasureBetween(TimePoint from, TimePoint to);
  bool Measures(TimePoint due) const { return from_.load() <= due && due < to_.load(); }
  TimePoint from() const { return from_; }
  TimePoint to() const { return to_; }

  // Of a measured chunk: from the time at which it was due (not sent: no coordinated omission) to
  // the first response whose chunks_done covers it; and the parts of that which the answers tell,
  // the wait in the scheduler and the computing. What is left is the network, gRPC, and this
  // client.
  LatencyRecorder latency;
  LatencyRecorder queue;
  LatencyRecorder compute;
  LatencyRecorder rest;
  // How late the generator itself was in sending.
  LatencyRecorder lag;
  // From a break to the acceptance of the stream's next call.
  LatencyRecorder resume;

  std::atomic<int64_t> chunks_due{0};  // measured ones
  std::atomic<int64_t> chunks_answered{0};
  std::atomic<int64_t> frames{0};  // answered in the time that is measured
  std::atomic<int64_t> breaks{0};  // of calls, that were to be mended
  std::atomic<int64_t> resumed{0};
  std::atomic<int64_t> cuts{0};  // connections

  void NoteAccepted();
  void NoteEnd(bool accepted, const absl::Status& status);
  // Waits until every stream was accepted or has ended, or that many have ended; false at
  // `deadline`.
  bool AwaitAccepted(int streams, TimePoint deadline);
  bool AwaitEnded(int streams, TimePoint deadline);

  int accepted() const;   // ever
  int ended() const;      // with or without an error
  int completed() const;  // answered to the end, with OK
  // Streams that a server would not take, and said when to come again: it is full, not failing.
  Errors refused() const;
  std::map<std::string, Errors> errors() const;  // others', by the name of the status code

 private:
  std::atomic<TimePoint> from_{TimePoint::max()};
  std::atomic<TimePoint> to_{TimePoint::max()};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int accepted_ = 0;
  int never_accepted_ = 0;  // and ended
  Errors refused_;
  int ended_ = 0;
  int completed_ = 0;
  std::map<std::string, Errors> errors_;
};

}  // namespace ese
