// SPDX-License-Identifier: Apache-2.0
// The metrics of the RPC layer. The scheduler has its own (scheduler/scheduler_metrics.h).
#pragma once

#include <array>

#include "base/clock.h"
#include "grpcpp/support/status_code_enum.h"
#include "metrics/registry.h"

namespace ese {

// Holds handles into a registry, which must outlive this object. Thread-safe.
class ServerMetrics {
 public:
  explicit ServerMetrics(MetricsRegistry* registry);

  // ese_rpc_streams_total{code}
  void StreamEnded(grpc::StatusCode code);
  // ese_chunk_seconds: the time from the arrival of a chunk until its answer is passed to gRPC.
  void ChunkAnswered(Duration latency) { chunk_seconds_->Observe(ToSeconds(latency)); }

 private:
  static constexpr int kNumCodes = 17;  // OK to UNAUTHENTICATED
  std::array<Counter*, kNumCodes> streams_;
  Histogram* chunk_seconds_;
};

}  // namespace ese
