// SPDX-License-Identifier: Apache-2.0
#include "server/server.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

// A client whose machine or network has failed sends no reset. Pings detect this, even through a
// proxy, with or without calls, and free its place within 40 s.
constexpr int kKeepaliveTimeMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 10'000;
// Clients that ping more often than this are disconnected at the third such ping.
constexpr int kMinPingIntervalMs = 5'000;
constexpr int kMaxPingStrikes = 2;
// How long a new connection may take for the handshakes of TLS and HTTP/2.
constexpr int kHandshakeTimeoutMs = 30'000;
// A connection without calls is closed after this time, even if it answers pings.
constexpr int kIdleConnectionMs = 15 * 60'000;
// The size of a call's headers. Tokens and tracing take a few kilobytes.
constexpr int kMaxHeaderBytes = 16 << 10;
// What a client may send on a call before the server reads it.
constexpr int kWindowBytes = 64 << 10;
// The threads of the listener go round once a second. After this time, they hang.
constexpr Duration kListenerLimit = std::chrono::seconds(5);
// How long Stop waits for clients to read their last bytes and disconnect, before it closes the
// connections.
constexpr std::chrono::seconds kShutdownLimit{1};
// How long Stop waits for clients to read their checkpoints.
constexpr std::chrono::seconds kHandOverLimit{2};

absl::Status ShuttingDown() {
  return absl::UnavailableError(
      "this server is shutting down; on another replica, resume from the checkpoint or open the "
      "stream again");
}

// What gRPC itself does about clients that vanish, flood, or hold connections without using them.
void LimitConnections(const ServingOptions& options, grpc::ServerBuilder& builder) {
  const std::pair<const char*, int> arguments[] = {
      {GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_connection_calls},
      {GRPC_ARG_MAX_METADATA_SIZE, kMaxHeaderBytes},
      {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs},
      {GRPC_ARG_MAX_CONNECTION_IDLE_MS, kIdleConnectionMs},
      {GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs},
      {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs},
      {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
      {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0},
      {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kMinPingIntervalMs},
      {GRPC_ARG_HTTP2_MAX_PING_STRIKES, kMaxPingStrikes},
      // gRPC 1.51 inflates a message before it compares the size, and 1 MB may become 1 GB.
      {GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0}};
  for (const auto& [name, value] : arguments) builder.AddChannelArgument(name, value);
  // A compressed request is refused with UNIMPLEMENTED.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
}

ConnectionLimits LimitsOf(const ServingOptions& options) {
  ConnectionLimits limits;
  limits.wasted_calls = options.max_connection_resets;
  limits.call_bytes = options.max_message_bytes + kWindowBytes;
  return limits;
}

absl::Status Validate(const ServingOptions& options) {
  const SchedulerOptions& scheduler = options.scheduler;
  const std::pair<const char*, int64_t> positive[] = {
      {"max_message_bytes", options.max_message_bytes},
      {"loops", options.loops},
      {"max_connection_calls", options.max_connection_calls},
      {"max_streams", scheduler.max_streams},
      {"max_waiting_calls", options.max_waiting_calls},
      {"max_queued_frames", scheduler.max_queued_frames},
      {"max_frames_per_lane", scheduler.max_frames_per_lane},
      {"target_latency", scheduler.target_latency.count()},
      {"max_attempts", scheduler.max_attempts},
      {"model_poll", options.model_poll.count()}};
  for (const auto& [name, value] : positive) {
    if (value < 1) return absl::InvalidArgumentError(absl::StrCat(name, " must be above 0"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const ServingOptions& options, const std::vector<std::shared_ptr<const Model>>& models,
    const ChannelFactory& make_channels, MetricsRegistry* metrics) {
  ESE_RETURN_IF_ERROR(Validate(options));
  if (models.empty() && options.model_dir.empty()) {
    return absl::InvalidArgumentError("there is no model to serve");
  }
  CheckpointSealer sealer = CheckpointSealer::Random();
  if (!options.checkpoint_keys.empty()) {
    ESE_ASSIGN_OR_RETURN(sealer, CheckpointSealer::FromFiles(options.checkpoint_keys));
  }
  ESE_ASSIGN_OR_RETURN(auto access, AccessControl::Load(options.access, metrics));
  ESE_RETURN_IF_ERROR(access->CheckAddress(options.listen));
  std::unique_ptr<Server> server(new Server(options, std::move(sealer), make_channels, metrics));
  server->access_ = std::move(access);
  for (const auto& model : models) ESE_RETURN_IF_ERROR(server->models_.Add(model));
  if (!options.model_dir.empty()) {
    ESE_RETURN_IF_ERROR(server->models_.Watch(options.model_dir, options.model_poll));
  }
  server->service_ = std::make_unique<SpeechService>(
      StreamEnvironment{.catalog = &server->catalog_,
                        .access = server->access_.get(),
                        .metrics = &server->metrics_,
                        .clock = Clock::Real(),
                        .sealer = &server->sealer_,
                        .checkpoint_max_age = options.checkpoint_max_age,
                        .stream_ids = &server->stream_ids_,
                        .lifetime = options.lifetime},
      options.scheduler.max_streams, options.max_waiting_calls);
  ESE_RETURN_IF_ERROR(server->Listen());
  return server;
}

Server::Server(const ServingOptions& options, CheckpointSealer sealer,
               const ChannelFactory& make_channels, MetricsRegistry* metrics)
    : options_(options),
      metrics_registry_(metrics),
      metrics_(metrics),
      sealer_(std::move(sealer)),
      catalog_(Clock::Real(), options.model_grace),
      models_(options.scheduler, make_channels, &catalog_, metrics) {}

Server::~Server() { Stop(); }

absl::Status Server::Listen() {
  ESE_ASSIGN_OR_RETURN(listener_, Listener::Open({.address = options_.listen,
                                                  .max_connections = options_.max_connections,
                                                  .limits = LimitsOf(options_)},
                                                 metrics_registry_));
  // This applies to all gRPC servers of the process.
  grpc::EnableDefaultHealthCheckService(false);
  grpc::ServerBuilder builder;
  listener_->AddTo(builder, access_->NewCredentials());
  builder.RegisterAsyncGenericService(&calls_);
  for (int i = 0; i < options_.loops; ++i) {
    loops_.push_back(std::make_unique<CallLoop>(builder.AddCompletionQueue()));
  }
  builder.SetMaxReceiveMessageSize(options_.max_message_bytes);
  // Otherwise gRPC enlarges the window of each connection and buffers up to several megabytes of a
  // stream that is not read, which none of our limits counts. The default window of 64 KB holds ten
  // chunks of a real-time stream.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  LimitConnections(options_, builder);
  grpc_ = builder.BuildAndStart();
  if (!grpc_) {
    loops_.clear();
    return absl::InternalError("gRPC cannot start a server");
  }
  UpdateHealth();
  for (const auto& loop : loops_) {
    loop->Start(&calls_, [this](RpcCall* call) { return Accept(call); },
                {.find_connection = [this](const std::string& peer) {
                  return listener_->FindConnection(peer);
                }});
  }
  return listener_->Start();
}

std::shared_ptr<CallHandler> Server::Accept(RpcCall* call) {
  const std::string& method = call->method();
  if (method == SpeechService::kStreamingInferMethod) return service_->HandleStreamingInfer(call);
  if (method == SpeechService::kListModelsMethod) return service_->HandleListModels(call);
  if (method == Health::kCheckMethod) return health_.HandleCheck(call);
  if (method == Health::kWatchMethod) return health_.HandleWatch(call);
  if (method == Reflection::kMethod) return reflection_.Handle(call);
  return std::make_shared<RefusedCall>(
      call, absl::UnimplementedError(absl::StrCat("this server has no method ", method,
                                                  "; reflection lists its services")));
}

void Server::UpdateHealth() {
  bool can_compute = false;
  for (const auto& served : catalog_.Current()) {
    served->scheduler->ShowLoad();
    can_compute = can_compute || served->scheduler->working_channels() > 0;
  }
  const bool alive = listener_->IsAlive(kListenerLimit);
  if (std::exchange(listener_alive_, alive) != alive) {
    if (alive) {
      spdlog::info("the threads of the listener work again");
    } else {
      spdlog::error("the threads of the listener hang: no connection is accepted");
    }
  }
  health_.SetServing(can_compute && alive && listener_->accepting());
}

bool Server::IsAlive(Duration limit) {
  if (!listener_->IsAlive(limit)) return false;
  // Owned together with the tasks, which may run long after this call has given up.
  struct Answers {
    Mutex mutex;
    CondVar changed;
    size_t count ABSL_GUARDED_BY(mutex) = 0;
  };
  const auto answers = std::make_shared<Answers>();
  for (const auto& loop : loops_) {
    loop->Post([answers] {
      const MutexLock lock(answers->mutex);
      ++answers->count;
      answers->changed.NotifyAll();
    });
  }
  for (const auto& served : catalog_.Current()) served->scheduler->open_streams();
  const auto end = std::chrono::steady_clock::now() + limit;
  const MutexLock lock(answers->mutex);
  while (answers->count < loops_.size() && answers->changed.WaitUntil(answers->mutex, end)) {
  }
  return answers->count == loops_.size();
}

void Server::StartDrain() {
  health_.SetServing(false);
  service_->RefuseNewStreams();
  service_->HandOverAll(ShuttingDown(), HandOverScope::kResumableStreams);
}

bool Server::WaitUntilIdle(Duration limit) { return service_->WaitUntilIdle(limit); }

void Server::Stop() {
  models_.Stop();
  if (!grpc_) return;
  StartDrain();
  service_->HandOverAll(ShuttingDown(), HandOverScope::kAllStreams);
  WaitUntilIdle(kHandOverLimit);
  service_->AbortAll(ShuttingDown());
  health_.Shutdown();
  listener_->Stop();
  grpc_->Shutdown(std::chrono::system_clock::now() + kShutdownLimit);
  grpc_->Wait();
  for (const auto& loop : loops_) loop->Stop();
  grpc_.reset();
}

}  // namespace ese
