// SPDX-License-Identifier: Apache-2.0
// The gRPC server: it combines the models and their schedulers, the speech service, health checking
// and reflection, and ends in an orderly way.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/grpcpp.h"
#include "metrics/registry.h"
#include "scheduler/scheduler.h"
#include "server/access.h"
#include "server/call_loop.h"
#include "server/checkpoint.h"
#include "server/health.h"
#include "server/listener.h"
#include "server/model_catalog.h"
#include "server/model_manager.h"
#include "server/reflection.h"
#include "server/server_metrics.h"
#include "server/speech_service.h"
#include "server/stream_ids.h"
#include "server/stream_lifetime.h"

namespace ese {

struct ServingOptions {
  // HOST:PORT or unix:PATH; port 0 takes a free port.
  std::string listen = "127.0.0.1:7700";
  AccessControlOptions access;
  int max_connections = 0;  // 0: as many as the descriptors allow (server/descriptor_limit.h)
  int max_connection_calls = 1024;  // open calls of one connection
  // Calls of one connection in a second that are reset, refused or malformed; 0 means no limit.
  double max_connection_resets = 100;
  int max_message_bytes = 1 << 20;  // a larger request ends its call
  int loops = 1;                    // number of threads that serve calls
  SchedulerOptions scheduler;       // applies to each model
  LifetimeOptions lifetime;         // applies to each stream
  int max_waiting_calls = 2048;     // calls that have not sent their config yet
  // The files of CheckpointSealer::FromFiles. Without any, the server makes a random key, and its
  // checkpoints are valid in this process only.
  std::vector<std::string> checkpoint_keys;
  Duration checkpoint_max_age = std::chrono::hours(24);  // older checkpoints are refused
  std::string model_dir;                                 // a folder to watch; empty means none
  Duration model_poll = std::chrono::seconds(1);         // how often to check that folder
  // How long a retired version of a model waits for streams that resume on it.
  Duration model_grace = std::chrono::minutes(10);
};

class Server {
 public:
  // Returns a server that serves `models` and the models in the folder. INVALID_ARGUMENT: there are
  // neither models nor a folder, two models have the same name, or an option is bad. NOT_FOUND: the
  // folder cannot be listed. UNAVAILABLE: the server cannot listen at the address; the message
  // gives the reason. RESOURCE_EXHAUSTED: the file descriptors do not suffice for max_connections.
  // Also returns errors of CheckpointSealer::FromFiles, of AccessControl and of the factory.
  // `metrics` must outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServingOptions& options, const std::vector<std::shared_ptr<const Model>>& models,
      const ChannelFactory& make_channels, MetricsRegistry* metrics);
  // Calls Stop if nobody has.
  ~Server();

  // The address at which the server listens, with the actual port.
  const std::string& address() const { return listener_->address(); }
  const ModelCatalog& catalog() const { return catalog_; }

  // Reports SERVING as long as the listener works and accepts connections and some model that
  // serves new streams has a working channel, otherwise NOT_SERVING. Call it about once a second
  // until StartDrain.
  void UpdateHealth();

  // Reads the files of access control again. See AccessControl::Reload.
  absl::Status ReloadAccess() { return access_->Reload(); }
  // Reads all files of the folder again, soon and on its thread, even those that have not changed.
  // REQUIRES: options.model_dir is not empty.
  void ReadModelsAgain() { models_.ReadAgain(); }

  // Returns whether the listener works and the loops, which serve calls, run a task within `limit`.
  // Does not return if a scheduler hangs. Call it on the thread that calls UpdateHealth and Stop.
  bool IsAlive(Duration limit);

  // Begins an orderly end: reports NOT_SERVING and refuses new streams with UNAVAILABLE. A stream
  // whose client uses checkpoints gets one and ends with UNAVAILABLE. Other streams continue.
  void StartDrain();
  // Waits until no stream is open. Returns false if `limit` passes first.
  bool WaitUntilIdle(Duration limit);
  // Hands over all streams that are still open, and stops serving. Returns within a few seconds,
  // whatever the clients do.
  void Stop();

 private:
  Server(const ServingOptions& options, CheckpointSealer sealer,
         const ChannelFactory& make_channels, MetricsRegistry* metrics);

  absl::Status Listen();
  std::shared_ptr<CallHandler> Accept(RpcCall* call);

  const ServingOptions options_;
  MetricsRegistry* const metrics_registry_;
  std::unique_ptr<AccessControl> access_;
  ServerMetrics metrics_;
  CheckpointSealer sealer_;
  StreamIds stream_ids_;
  ModelCatalog catalog_;
  ModelManager models_;
  std::unique_ptr<SpeechService> service_;
  Health health_;
  Reflection reflection_{{"ese.v1.SpeechInference", "grpc.health.v1.Health"}};
  grpc::AsyncGenericService calls_;  // the calls that the loops serve
  std::unique_ptr<Listener> listener_;
  bool listener_alive_ = true;  // when UpdateHealth last looked
  std::unique_ptr<grpc::Server> grpc_;
  std::vector<std::unique_ptr<CallLoop>> loops_;
};

}  // namespace ese
