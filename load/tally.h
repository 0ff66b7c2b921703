// SPDX-License-Identifier: Apache-2.0
// The counts and latencies that all streams of a load test add to.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/clock.h"
#include "base/latency_histogram.h"
#include "base/mutex.h"

namespace ese {

// Thread-safe.
class LoadTally {
 public:
  struct Errors {
    int64_t count = 0;
    std::string example;  // the message of the first

    void Add(const absl::Status& status) {
      if (count++ == 0) example = std::string(status.message());
    }
  };

  // Chunks due in [from, to) are measured. Others are sent, but do not count.
  void MeasureBetween(TimePoint from, TimePoint to);
  bool Measures(TimePoint due) const { return from_.load() <= due && due < to_.load(); }
  TimePoint from() const { return from_; }
  TimePoint to() const { return to_; }

  // The latency of a measured chunk counts from the time when it was due to the first response
  // whose chunks_done covers it. (Counting from when it was sent would be coordinated omission.)
  // `queue` and `compute` are the parts that the responses report: the wait in the scheduler, and
  // the computation. `rest` is what remains: the network, gRPC, and this client.
  LatencyRecorder latency;
  LatencyRecorder queue;
  LatencyRecorder compute;
  LatencyRecorder rest;
  // How late this client sent chunks.
  LatencyRecorder lag;
  // The time from a break to the acceptance of the stream's next call.
  LatencyRecorder resume;

  std::atomic<int64_t> chunks_due{0};  // measured ones
  std::atomic<int64_t> chunks_answered{0};
  std::atomic<int64_t> frames{0};  // answered in the measured time
  std::atomic<int64_t> breaks{0};  // breaks of calls whose streams should continue
  std::atomic<int64_t> resumed{0};
  std::atomic<int64_t> cuts{0};  // connections

  void NoteAccepted();
  void NoteEnd(bool accepted, const absl::Status& status);
  // Waits until `streams` streams have been accepted or have ended. Returns false at `deadline`.
  bool AwaitAccepted(int streams, TimePoint deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits until `streams` streams have ended. Returns false at `deadline`.
  bool AwaitEnded(int streams, TimePoint deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  int accepted() const;   // at any time
  int ended() const;      // with or without an error
  int completed() const;  // answered to the end, with OK
  // Streams that the server refused with a hint when to try again, because it is full.
  Errors refused() const;
  std::map<std::string, Errors> errors() const;  // other streams, by the name of the status code

 private:
  std::atomic<TimePoint> from_{TimePoint::max()};
  std::atomic<TimePoint> to_{TimePoint::max()};

  mutable Mutex mutex_;
  CondVar changed_;
  int accepted_ ABSL_GUARDED_BY(mutex_) = 0;
  int never_accepted_ ABSL_GUARDED_BY(mutex_) = 0;  // streams that ended without acceptance
  Errors refused_ ABSL_GUARDED_BY(mutex_);
  int ended_ ABSL_GUARDED_BY(mutex_) = 0;
  int completed_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, Errors> errors_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
