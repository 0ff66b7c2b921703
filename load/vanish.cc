// SPDX-License-Identifier: Apache-2.0
#include "load/vanish.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "load/call.h"

namespace ese {
namespace {

// What all vanishing clients share.
struct Cycles {
  const std::string& address;
  const Duration timeout;
  const AccessOptions& access;
  const LoadSource& source;
  const std::atomic<bool>& stop;
  grpc::CompletionQueue queue;
  LoadTally tally;
  int64_t left;
  int working = 0;  // clients that have cycles left
};

class VanishingClient final : public LoadCall::Handler {
 public:
  explicit VanishingClient(Cycles* cycles) : cycles_(*cycles) { ++cycles_.working; }

  // Begins the next cycle, if one is left.
  void Begin() {
    while (cycles_.left > 0 && !cycles_.stop) {
      moment_ = static_cast<Moment>(--cycles_.left % 4);
      vanished_ = false;
      writes_ = 0;
      absl::StatusOr<std::unique_ptr<LoadConnection>> connection =
          LoadConnection::Dial(cycles_.address, cycles_.timeout, cycles_.access);
      if (!connection.ok()) {
        cycles_.tally.NoteEnd(false, connection.status());
        continue;
      }
      call_ = std::make_unique<LoadCall>(*std::move(connection), &cycles_.queue, this);
      v1::StreamingInferRequest config;
      *config.mutable_config() = cycles_.source.config();
      call_->Start(std::move(config));
      if (moment_ == Moment::kAtOnce) Vanish();
      return;
    }
    --cycles_.working;
  }

  void OnWritable() override {
    if (++writes_ == 1) {
      if (moment_ == Moment::kConfigSent) return Vanish();
      v1::StreamingInferRequest request;
      request.set_chunk(std::string(cycles_.source.Chunk(0, 0)));
      call_->Write(request);
    } else if (moment_ == Moment::kChunkSent) {
      Vanish();
    }
  }

  void OnAnswer(v1::StreamingInferResponse* response) override {
    if (moment_ == Moment::kAnswered && response->chunks_done() > 0) Vanish();
  }

  void OnEnd(const absl::Status& status) override {
    cycles_.tally.NoteEnd(true, vanished_ ? absl::OkStatus() : status);
    call_.reset();
    Begin();
  }

 private:
  enum class Moment { kAtOnce, kConfigSent, kChunkSent, kAnswered };

  void Vanish() {
    vanished_ = true;
    call_->connection().Cut();
  }

  Cycles& cycles_;
  std::unique_ptr<LoadCall> call_;
  Moment moment_ = Moment::kAtOnce;
  bool vanished_ = false;
  int writes_ = 0;
};

}  // namespace

absl::StatusOr<VanishReport> RunVanish(const LoadOptions& options, int64_t cycles,
                                       const std::atomic<bool>& stop) {
  ESE_ASSIGN_OR_RETURN(const LoadSource source, MakeSource(options));

  const TimePoint start = Clock::Real()->Now();
  Cycles shared{
      options.addresses[0], options.timeout, options.access, source, stop, {}, {}, cycles};
  std::vector<std::unique_ptr<VanishingClient>> clients;
  for (int i = 0; i < options.streams; ++i) {
    clients.push_back(std::make_unique<VanishingClient>(&shared));
    clients.back()->Begin();
  }
  void* tag;
  bool ok;
  while (shared.working > 0 && shared.queue.Next(&tag, &ok)) LoadCall::Handle(tag, ok);
  shared.queue.Shutdown();
  while (shared.queue.Next(&tag, &ok)) {
  }
  return VanishReport{shared.tally.completed(), ToSeconds(Clock::Real()->Now() - start),
                      shared.tally.errors()};
}

}  // namespace ese
