// SPDX-License-Identifier: Apache-2.0
// A gRPC server of models: schedulers, the service, health and reflection, and an orderly end.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/grpcpp.h"
#include "metrics/registry.h"
#include "scheduler/scheduler.h"
#include "server/call_loop.h"
#include "server/checkpoint.h"
#include "server/health.h"
#include "server/model_catalog.h"
#include "server/model_manager.h"
#include "server/server_metrics.h"
#include "server/speech_service.h"
#include "server/stream_ids.h"
#include "server/stream_lifetime.h"

namespace ese {

struct ServingOptions {
  std::string listen = "127.0.0.1:7700";  // HOST:PORT; port 0 takes a free one
  int max_message_bytes = 1 << 20;        // of a request; larger ones end their call
  int loops = 1;                          // threads that carry calls
  SchedulerOptions scheduler;             // of each model
  LifetimeOptions lifetime;               // of each stream
  // Files, see CheckpointSigner; none: a random key, good for this process only.
  std::vector<std::string> checkpoint_keys;
  Duration checkpoint_max_age = std::chrono::hours(24);  // older ones are refused
  std::string model_dir;                                 // a folder to watch; empty: none
  Duration model_poll = std::chrono::seconds(1);         // from one look there to the next
  // Retired versions of models wait so long for streams that come back.
  Duration model_grace = std::chrono::minutes(10);
};

class Server {
 public:
  // Serves `models` and those of the folder from the return on. INVALID_ARGUMENT: neither models
  // nor a folder, two models of one name, bad options; NOT_FOUND: the folder cannot be listed;
  // UNAVAILABLE: the address cannot be listened at, with the reason; a key's and the factory's
  // errors. `metrics` must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServingOptions& options, const std::vector<std::shared_ptr<const Model>>& models,
      const ChannelFactory& make_channels, MetricsRegistry* metrics);
  // Stop(0), if Stop was not called.
  ~Server();

  // The address served, with the port that was taken.
  const std::string& address() const { return address_; }
  const ModelCatalog& catalog() const { return catalog_; }

  // To be called about once a second until the drain: health says NOT_SERVING while no channel of
  // any model that takes new streams works, and SERVING again when one does.
  void UpdateHealth();

  // The three parts of an orderly end; StartDrain: health says NOT_SERVING, new streams are refused
  // with UNAVAILABLE. Streams whose clients know of checkpoints are handed theirs and end with
  // UNAVAILABLE; others go on.
  void StartDrain();
  // Waits until no stream is open; false where `limit` passed first.
  bool WaitUntilIdle(Duration limit);
  // Hands over the streams that are still open, too, and serves no more. Returns within a few
  // seconds whatever the clients do.
  void Stop();

 private:
  Server(const ServingOptions& options, CheckpointSigner signer,
         const ChannelFactory& make_channels, MetricsRegistry* metrics);

  absl::Status Listen();
  std::shared_ptr<CallHandler> Accept(RpcCall* call);

  const ServingOptions options_;
  std::string address_;
  ServerMetrics metrics_;
  CheckpointSigner signer_;
  StreamIds stream_ids_;
  ModelCatalog catalog_;
  ModelManager models_;
  std::unique_ptr<SpeechService> service_;
  Health health_;
  grpc::AsyncGenericService calls_;  // those that are carried by loops
  std::unique_ptr<grpc::Server> grpc_;
  std::vector<std::unique_ptr<CallLoop>> loops_;
};

}  // namespace ese
