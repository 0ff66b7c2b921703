// SPDX-License-Identifier: Apache-2.0
#include "load/generator.h"

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status.h"
#include "client/resuming_stream.h"
#include "client/seconds.h"
#include "load/shard.h"
#include "load/verifier.h"

namespace ese {
namespace {

constexpr Duration kStopPollTime = std::chrono::milliseconds(50);  // how often `stop` is read
constexpr Duration kTickTime = std::chrono::seconds(1);
// Between setting speak_from and the first chunk, so that every shard has read it by then.
constexpr Duration kHeadStart = std::chrono::milliseconds(50);
constexpr int kStreamsPerConnection = 64;
constexpr int kMaxConnections = 8;

LoadBehaviour BehaviourOf(const LoadOptions& options) {
  LoadBehaviour behaviour;
  behaviour.flat_out = options.pace == LoadPace::kFlatOut;
  behaviour.window = options.window;
  behaviour.max_chunks = options.pace == LoadPace::kIdle ? 1 : 0;
  behaviour.resumes = options.resume;
  behaviour.checkpoint_every_frames = options.checkpoint_every_frames;
  behaviour.tenant = options.tenant;
  behaviour.priority = options.priority;
  behaviour.return_units = options.return_units;
  behaviour.return_posteriors = options.return_posteriors || options.verify;
  behaviour.reconnect.give_up_after = options.timeout;
  return behaviour;
}

int ConnectionsOf(const LoadOptions& options) {
  if (options.connections > 0) return options.connections;
  const int streams = (options.streams + options.threads - 1) / options.threads;
  return std::min((streams + kStreamsPerConnection - 1) / kStreamsPerConnection, kMaxConnections);
}

class LoadRun {
 public:
  LoadRun(const LoadOptions& options, LoadSource source, const std::atomic<bool>& stop,
          std::ostream& progress)
      : options_(options),
        behaviour_(BehaviourOf(options)),
        source_(std::move(source)),
        stop_(stop),
        progress_(progress) {
    schedule_.open_from = clock_.Now();
    schedule_.ramp = options.ramp;
    schedule_.cut_every = options.cut_every;
    schedule_.timeout = options.timeout;
    schedule_.streams = options.streams;
    schedule_.seed = options.source.seed;
  }

  LoadReport Run() {
    StartShards();
    Open();
    Speak();
    const TimePoint spoken = std::min(clock_.Now(), tally_.to());
    for (std::thread& thread : threads_) thread.join();
    LoadReport report;
    report.seconds = std::max(0.0, ToSeconds(spoken - tally_.from()));
    Fill(&report);
    if (options_.verify) Verify(&report);
    return report;
  }

 private:
  void StartShards() {
    const int count = std::min(options_.threads, options_.streams);
    for (int i = 0; i < count; ++i) {
      shards_.push_back(std::make_unique<LoadShard>(i, count, &schedule_, &behaviour_, &source_,
                                                    &tally_, options_.addresses,
                                                    ConnectionsOf(options_), options_.access));
    }
    for (auto& shard : shards_) threads_.emplace_back([&shard] { shard->Run(); });
  }

  void Open() {
    const TimePoint ramped = schedule_.open_from + options_.ramp;
    const TimePoint deadline = ramped + options_.timeout;
    while (!stop_ && clock_.Now() < deadline) {
      if (tally_.AwaitAccepted(options_.streams, clock_.Now() + kStopPollTime)) break;
    }
    while (!stop_ && clock_.Now() < ramped) std::this_thread::sleep_for(kStopPollTime);
    schedule_.accept_late = false;
    const TimePoint from = clock_.Now() + kHeadStart;
    tally_.MeasureBetween(from, from + options_.run_time);
    schedule_.speak_until = from + options_.run_time;
    schedule_.speak_from = from;
  }

  void Speak() {
    TimePoint next_tick = tally_.from() + kTickTime;
    while (clock_.Now() < tally_.to() && !stop_ && tally_.ended() < options_.streams) {
      tally_.AwaitEnded(options_.streams, std::min(clock_.Now() + kStopPollTime, tally_.to()));
      if (clock_.Now() < next_tick) continue;
      next_tick += kTickTime;
      Tick();
    }
    if (clock_.Now() >= tally_.to()) return;
    // The run ends early, because of `stop` or because no stream is left.
    stopped_ = stop_;
    tally_.MeasureBetween(tally_.from(), clock_.Now());
    schedule_.speak_until = clock_.Now();
  }

  void Tick() {
    const LatencyHistogram latency = tally_.latency.Snapshot();
    const LatencyHistogram since = latency.Since(at_tick_);
    const int64_t frames = tally_.frames;
    timeline_.push_back({options_.streams - tally_.ended(), frames - frames_at_tick_,
                         since.Percentile(50), since.Percentile(99), since.max()});
    at_tick_ = latency;
    frames_at_tick_ = frames;
    int64_t failed = 0;
    for (const auto& [code, errors] : tally_.errors()) failed += errors.count;
    progress_ << absl::StreamFormat(
                     "%4d s: %d streams, %d frames/s, p99 %.2f ms, %d chunks unanswered, "
                     "%d streams failed, %d refused\n",
                     timeline_.size(), timeline_.back().streams, timeline_.back().frames,
                     Milliseconds(since.Percentile(99)), tally_.chunks_due - tally_.chunks_answered,
                     failed, tally_.refused().count)
              << std::flush;
  }

  void Fill(LoadReport* report) const {
    report->streams = options_.streams;
    report->accepted = tally_.accepted();
    report->completed = tally_.completed();
    report->connections = ConnectionsOf(options_) * static_cast<int>(shards_.size());
    report->frames = tally_.frames;
    if (report->seconds > 0) {
      report->frames_per_s = static_cast<double>(report->frames) / report->seconds;
    }
    report->realtime_streams = report->frames_per_s * ToSeconds(source_.frame_time());
    report->chunks_due = tally_.chunks_due;
    report->chunks_answered = tally_.chunks_answered;
    for (const auto& shard : shards_) {
      for (const auto& stream : shard->streams()) report->chunks_sent += stream->chunks_sent();
    }
    report->latency = tally_.latency.Snapshot();
    report->queue = tally_.queue.Snapshot();
    report->compute = tally_.compute.Snapshot();
    report->rest = tally_.rest.Snapshot();
    report->lag = tally_.lag.Snapshot();
    report->resume = tally_.resume.Snapshot();
    report->timeline = timeline_;
    report->cuts = tally_.cuts;
    report->breaks = tally_.breaks;
    report->resumed = tally_.resumed;
    report->refused = tally_.refused();
    report->errors = tally_.errors();
    report->stopped = stopped_;
  }

  void Verify(LoadReport* report) const {
    LoadVerifier verifier(&source_, behaviour_, options_.addresses, options_.timeout,
                          options_.access);
    for (const auto& shard : shards_) {
      for (const auto& stream : shard->streams()) verifier.Expect(*stream);
    }
    progress_ << "verifying the posteriors against those of undisturbed streams\n" << std::flush;
    verifier.Run(report);
  }

  const LoadOptions& options_;
  const LoadBehaviour behaviour_;
  const LoadSource source_;
  const std::atomic<bool>& stop_;
  std::ostream& progress_;
  const Clock& clock_ = *Clock::Real();

  LoadTally tally_;
  LoadSchedule schedule_;
  std::vector<std::unique_ptr<LoadShard>> shards_;
  std::vector<std::thread> threads_;
  std::vector<LoadSecond> timeline_;
  LatencyHistogram at_tick_;
  int64_t frames_at_tick_ = 0;
  bool stopped_ = false;
};

}  // namespace

absl::StatusOr<LoadSource> MakeSource(const LoadOptions& options) {
  ResumingClientOptions servers;
  servers.addresses = options.addresses;
  servers.timeout = options.timeout;
  servers.access = options.access;
  ESE_ASSIGN_OR_RETURN(const std::unique_ptr<ResumingClient> client,
                       ResumingClient::Connect(servers));
  ESE_ASSIGN_OR_RETURN(const v1::Model model, client->FindModel(options.model));
  return LoadSource::Create(model, options.source);
}

absl::StatusOr<LoadReport> RunLoad(const LoadOptions& options, const std::atomic<bool>& stop,
                                   std::ostream& progress) {
  ESE_ASSIGN_OR_RETURN(LoadSource source, MakeSource(options));
  const auto run = std::make_unique<LoadRun>(options, std::move(source), stop, progress);
  return run->Run();
}

}  // namespace ese
