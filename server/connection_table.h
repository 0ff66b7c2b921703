// SPDX-License-Identifier: Apache-2.0
// The connections that the server has accepted. gRPC does not tell when it closes a connection, so
// the table keeps a duplicate of each descriptor and watches it on a thread of its own: gRPC shuts
// a socket down when it closes it, and its duplicate sees that.
#pragma once

#include <atomic>
#include <thread>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/unique_fd.h"
#include "metrics/registry.h"

namespace ese {

// Thread-safe.
class ConnectionTable {
 public:
  // `metrics` must outlive the table. It gets ese_connections.
  explicit ConnectionTable(MetricsRegistry* metrics);
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

 private:
  void Watch();
  void Remove(int fd) ABSL_LOCKS_EXCLUDED(mutex_);

  Gauge* const gauge_;
  UniqueFd epoll_;
  UniqueFd stop_;  // an eventfd
  std::atomic<int> size_ = 0;
  Mutex mutex_;
  std::unordered_map<int, UniqueFd> connections_ ABSL_GUARDED_BY(mutex_);  // by duplicate
  std::thread thread_;
};

}  // namespace ese
