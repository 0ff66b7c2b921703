// SPDX-License-Identifier: Apache-2.0
#include "server/server.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/listen_address.h"
#include "base/status.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"

namespace ese {
namespace {

// A client whose machine or network has failed sends no reset. Pings detect this, so that its
// stream is freed.
constexpr int kKeepaliveTimeMs = 30'000;
constexpr int kKeepaliveTimeoutMs = 10'000;
// Clients that ping more often than this may be disconnected.
constexpr int kMinPingIntervalMs = 5'000;
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

absl::Status Validate(const ServingOptions& options) {
  const SchedulerOptions& scheduler = options.scheduler;
  const std::pair<const char*, int64_t> positive[] = {
      {"max_message_bytes", options.max_message_bytes},
      {"loops", options.loops},
      {"max_streams", scheduler.max_streams},
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
  ESE_ASSIGN_OR_RETURN(auto access, AccessControl::Load(options.access));
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
      options.scheduler.max_streams);
  ESE_RETURN_IF_ERROR(server->Listen());
  return server;
}

Server::Server(const ServingOptions& options, CheckpointSealer sealer,
               const ChannelFactory& make_channels, MetricsRegistry* metrics)
    : options_(options),
      metrics_(metrics),
      sealer_(std::move(sealer)),
      catalog_(Clock::Real(), options.model_grace),
      models_(options.scheduler, make_channels, &catalog_, metrics) {}

Server::~Server() { Stop(); }

absl::Status Server::Listen() {
  ESE_ASSIGN_OR_RETURN(const ListenAddress listen, ParseListenAddress(options_.listen));
  // These two calls apply to all gRPC servers of the process.
  grpc::EnableDefaultHealthCheckService(false);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options_.listen, access_->NewCredentials(), &port);
  builder.RegisterService(service_.get());
  builder.RegisterService(&health_);
  builder.RegisterAsyncGenericService(&calls_);
  for (int i = 0; i < options_.loops; ++i) {
    loops_.push_back(std::make_unique<CallLoop>(builder.AddCompletionQueue()));
  }
  builder.SetMaxReceiveMessageSize(options_.max_message_bytes);
  // Two servers on one port would share the calls at random. Let the second one fail instead.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Otherwise gRPC enlarges the window of each connection and buffers up to several megabytes of a
  // stream that is not read, which none of our limits counts. The default window of 64 KB holds ten
  // chunks of a real-time stream.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kMinPingIntervalMs);
  grpc_ = builder.BuildAndStart();
  if (!grpc_ || port == 0) {
    grpc_.reset();
    loops_.clear();
    ESE_RETURN_IF_ERROR(TryListen(listen));
    return absl::UnavailableError(absl::StrCat("gRPC cannot listen at ", options_.listen,
                                               "; choose another address or port"));
  }
  address_ = absl::StrCat(listen.host, ":", port);
  UpdateHealth();
  for (const auto& loop : loops_) {
    loop->Start(&calls_, [this](RpcCall* call) { return Accept(call); });
  }
  return absl::OkStatus();
}

std::shared_ptr<CallHandler> Server::Accept(RpcCall* call) {
  if (call->method() == SpeechService::kStreamingInferMethod)
    return service_->HandleStreamingInfer(call);
  if (call->method() == Health::kWatchMethod) return health_.HandleWatch(call);
  return std::make_shared<RefusedCall>(
      call, absl::UnimplementedError(absl::StrCat("this server has no method ", call->method(),
                                                  "; reflection lists its services")));
}

void Server::UpdateHealth() {
  health_.SetServing(std::ranges::any_of(catalog_.Current(), [](const auto& served) {
    return served->scheduler->working_channels() > 0;
  }));
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
  grpc_->Shutdown(std::chrono::system_clock::now() + kShutdownLimit);
  grpc_->Wait();
  for (const auto& loop : loops_) loop->Stop();
  grpc_.reset();
}

}  // namespace ese
