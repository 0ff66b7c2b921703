// SPDX-License-Identifier: Apache-2.0
// The connections that the server has accepted. gRPC does not tell when it closes a connection, so
// the table keeps a duplicate of each descriptor and watches it on a thread of its own: gRPC shuts
// a socket down when it closes it, and its duplicate sees that. In the same way the table closes
// the connections of peers that cost too much, and of those that keep others out.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "metrics/registry.h"
#include "server/connection.h"

namespace ese {

// Thread-safe.
class ConnectionTable {
 public:
  // `metrics` must outlive the table. It gets ese_connections, ese_connections_closed_total and
  // ese_wasted_calls_total.
  ConnectionTable(const ConnectionLimits& limits, MetricsRegistry* metrics);
  // REQUIRES: no call reports to a connection any more.
  ~ConnectionTable();
  ConnectionTable(const ConnectionTable&) = delete;
  ConnectionTable& operator=(const ConnectionTable&) = delete;

  // Starts the thread. RESOURCE_EXHAUSTED if the system has no descriptors. Call it once.
  absl::Status Start();
  // Takes the connection into the table until it is closed. The caller keeps `fd`.
  // RESOURCE_EXHAUSTED if the system has no descriptors.
  absl::Status Add(int fd) ABSL_LOCKS_EXCLUDED(mutex_);
  // The number of connections that are open.
  int size() const { return size_; }
  // When the thread last went round. It does so at least once a second.
  TimePoint turned_at() const { return turned_at_; }

  // Returns the connection whose other end gRPC calls `peer`; null if there is none, or more than
  // one.
  std::shared_ptr<Connection> Find(const std::string& peer) const ABSL_LOCKS_EXCLUDED(mutex_);

  // Closes some connections of which no call has sent its config, and forgets them. Those without a
  // call come first, then those of the host that has most connections, then those that have had no
  // call for longest. Returns false if there is none. Whose calls are unknown is never closed.
  bool MakeRoom() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class Connection;
  enum class Reason { kWastedCalls, kOverhead, kRoom };
  static constexpr int kReasons = 3;

  struct Closed {
    Counter* counter;
    const char* text;
    int unlogged = 0;
    TimePoint log_at{};
  };

  void Watch();
  void CheckAll() ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(uint64_t id) ABSL_LOCKS_EXCLUDED(mutex_);
  void RemoveLocked(uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Close(Connection& connection, Reason reason) ABSL_LOCKS_EXCLUDED(mutex_);
  void NoteClosed(const Connection& connection, Reason reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteWastedCall() { wasted_calls_->Increment(); }
  ConnectionBudget BudgetFor(const std::string& host, TimePoint now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteDebt(const std::string& host, const ConnectionBudget& budget)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  struct Debt {
    ConnectionBudget budget;
    TimePoint until;  // by then nothing is left of it
  };

  const ConnectionLimits limits_;
  Gauge* const gauge_;
  Counter* const wasted_calls_;
  UniqueFd epoll_;
  UniqueFd stop_;  // an eventfd
  std::atomic<int> size_ = 0;
  std::atomic<TimePoint> turned_at_;
  mutable Mutex mutex_;
  uint64_t last_id_ ABSL_GUARDED_BY(mutex_) = 0;
  // By an id that is never used again, unlike a descriptor, so that a late event of a connection
  // that was removed cannot concern another one.
  std::unordered_map<uint64_t, std::shared_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);
  std::unordered_multimap<std::string, std::shared_ptr<Connection>> by_peer_
      ABSL_GUARDED_BY(mutex_);
  // What the hosts of connections that were closed for their cost begin with when they come again.
  std::map<std::string, Debt> debts_ ABSL_GUARDED_BY(mutex_);
  Closed closed_[kReasons] ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace ese
