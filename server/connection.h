// SPDX-License-Identifier: Apache-2.0
// An open connection: what its calls bring, and what they cost.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "server/rate_limit.h"

namespace ese {

class ConnectionTable;

// What a peer may do that brings nothing. It may do more of each in a burst.
struct ConnectionLimits {
  static constexpr double kBurstSeconds = 20;

  double wasted_calls = 100;  // a second; 0 means no limit
  // Bytes a second besides messages and what they need. 0 means no limit.
  double overhead_bytes = 1 << 20;
  // How many bytes of a message that is not complete an open call may have sent.
  double call_bytes = (1 << 20) + (64 << 10);
};

// What remains of the limits.
struct ConnectionBudget {
  ConnectionBudget(const ConnectionLimits& limits, TimePoint now)
      : wasted_calls(limits.wasted_calls, limits.wasted_calls * ConnectionLimits::kBurstSeconds,
                     now),
        overhead_bytes(limits.overhead_bytes,
                       limits.overhead_bytes * ConnectionLimits::kBurstSeconds, now) {}

  // What a new connection of the same host begins with.
  ConnectionBudget WithoutArrears() const {
    ConnectionBudget budget = *this;
    budget.wasted_calls.ForgiveArrears();
    budget.overhead_bytes.ForgiveArrears();
    return budget;
  }

  RateLimit wasted_calls;
  RateLimit overhead_bytes;
};

// The other end of a connection.
struct Peer {
  // As gRPC names it, such as "ipv4:127.0.0.1:40000". "" at a unix socket, where all are equal.
  std::string name;
  // The host: an IPv4 address, or the first half of an IPv6 address, because one host may have
  // every address of its /64. "" at a unix socket.
  std::string host;

  // Returns the peer of a connected socket.
  static Peer Of(int socket);
};

// The calls report what they do. Thread-safe.
class Connection {
 public:
  // Takes a duplicate of the connection's descriptor. `table` and `limits` must outlive it.
  Connection(UniqueFd duplicate, Peer peer, const ConnectionBudget& budget,
             const ConnectionLimits* limits, ConnectionTable* table);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void CallBegan();
  // The call has sent its config, or its request if the method takes no config.
  void CallBecameUseful() { ++useful_calls_; }
  // `wasted`: the call has never become useful, or was cancelled before its first answer. May close
  // the connection.
  void CallEnded(bool was_useful, bool wasted) ABSL_LOCKS_EXCLUDED(mutex_);
  void MessageRead(size_t bytes);
  void MessageWritten();

 private:
  friend class ConnectionTable;

  // Compares what has been received with what it was good for. Returns false if the connection has
  // brought too little.
  bool CheckOverhead() ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the connection for both sides.
  void ShutDown() ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives the descriptor back to the system, although calls may still report.
  void Forget(int epoll) ABSL_LOCKS_EXCLUDED(mutex_);
  ConnectionBudget budget() ABSL_LOCKS_EXCLUDED(mutex_);

  const Peer peer_;
  const ConnectionLimits& limits_;
  ConnectionTable& table_;
  std::atomic<int> open_calls_ = 0;
  std::atomic<int> useful_calls_ = 0;  // of the open ones
  // False if another connection has, or had, the same name: then nobody knows whose calls are
  // whose.
  std::atomic<bool> identified_;
  std::atomic<int64_t> granted_bytes_ = 0;  // what was received and came to some good
  std::atomic<TimePoint> idle_since_;
  Mutex mutex_;
  UniqueFd socket_ ABSL_GUARDED_BY(mutex_);
  ConnectionBudget budget_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t counted_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // at the last check
  int64_t counted_grants_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace ese
