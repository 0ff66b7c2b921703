// SPDX-License-Identifier: Apache-2.0
#include "server/server_metrics.h"

#include "absl/status/status.h"

namespace ese {

ServerMetrics::ServerMetrics(MetricsRegistry* registry) {
  // gRPC's codes and Abseil's have the same numbers and names.
  for (int code = 0; code < kNumCodes; ++code) {
    streams_[code] = registry->GetCounter(
        "ese_rpc_streams_total", "StreamingInfer calls that have ended, by their status code.",
        {{"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}});
  }
  chunk_seconds_ = registry->GetHistogram(
      "ese_chunk_seconds",
      "Time from the arrival of a chunk until its complete answer is passed to gRPC.",
      LatencyBuckets());
}

void ServerMetrics::StreamEnded(grpc::StatusCode code) {
  const bool known = code >= 0 && code < kNumCodes;
  streams_[known ? code : grpc::StatusCode::UNKNOWN]->Increment();
}

}  // namespace ese
