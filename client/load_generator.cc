#include "client/load_generator.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"
#include "client/seconds.h"

namespace ese {
namespace {

constexpr Duration kPollTime = std::chrono::milliseconds(50);  // for `stop`, and dead streams
constexpr Duration kTickTime = std::chrono::seconds(1);
constexpr int kStreamsPerConnection = 64;
constexpr int kMaxConnections = 8;

class LoadRun {
 public:
  LoadRun(const LoadOptions& options, LoadSource source, const std::atomic<bool>& stop,
          std::ostream& progress)
      : options_(options), source_(std::move(source)), stop_(stop), progress_(progress) {}

  LoadReport Run() {
    Open();
    start_ = clock_.Now();
    next_tick_ = start_ + kTickTime;
    if (options_.flat_out) {
      for (auto& stream : streams_) stream->RunFlatOut(options_.window);
      AwaitTime(start_ + options_.run_time);
    } else {
      Pace();
    }
    LoadReport report;
    report.seconds = ToSeconds(clock_.Now() - start_);
    report.frames = tally_.frames;
    report.stopped = stop_;
    Drain();
    Fill(&report);
    return report;
  }

 private:
  void Open() {
    const int wanted = (options_.streams + kStreamsPerConnection - 1) / kStreamsPerConnection;
    connections_ =
        options_.connections > 0 ? options_.connections : std::min(wanted, kMaxConnections);
    for (int i = 0; i < connections_; ++i) {
      stubs_.push_back(v1::SpeechInference::NewStub(MakeChannel(options_.server.address)));
    }
    for (int i = 0; i < options_.streams; ++i) {
      streams_.push_back(std::make_unique<LoadStream>(i, &source_, &tally_, &clock_));
      streams_.back()->Open(*stubs_[i % connections_]);
    }
    const TimePoint deadline = clock_.Now() + options_.server.timeout;
    while (!stop_ && clock_.Now() < deadline &&
           !tally_.AwaitAccepted(options_.streams, clock_.Now() + kPollTime)) {
    }
    for (auto& stream : streams_) stream->GiveUpUnlessAccepted(options_.server.timeout);
  }

  // Lets every stream's chunks come due on its own clock. All have the same period, so the streams,
  // sorted by phase, come due in turn.
  void Pace() {
    const Duration period = source_.chunk_time();
    std::mt19937_64 random(options_.source.seed);
    std::uniform_int_distribution<int64_t> phase(0, period.count() - 1);
    std::vector<Duration> phases(streams_.size());
    for (Duration& p : phases) p = Duration(phase(random));
    std::vector<size_t> order(streams_.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return phases[a] < phases[b]; });

    for (Duration round{0};; round += period) {
      for (const size_t i : order) {
        const Duration at = round + phases[i];
        if (at >= options_.run_time || !AwaitTime(start_ + at)) return;
        lag_.Record(clock_.Now() - (start_ + at));
        streams_[i]->Due(start_ + at);
      }
    }
  }

  // False: told to stop, or no stream is left.
  bool AwaitTime(TimePoint until) {
    while (true) {
      const TimePoint now = clock_.Now();
      if (now >= next_poll_) {
        next_poll_ = now + kPollTime;
        if (stop_ || tally_.ended() == options_.streams) return false;
      }
      if (now >= next_tick_) Tick(now);
      if (now >= until) return true;
      std::this_thread::sleep_until(std::min({until, next_poll_, next_tick_}));
    }
  }

  void Tick(TimePoint now) {
    next_tick_ += kTickTime;
    for (auto& stream : streams_) stream->CheckStalled(now, options_.server.timeout);
    const int64_t frames = tally_.frames;
    int64_t failed = 0;
    for (const auto& [code, errors] : tally_.errors()) failed += errors.count;
    progress_ << absl::StreamFormat(
                     "%4.0f s: %d streams, %d frames/s, p99 %.2f ms, %d chunks unanswered, "
                     "%d streams failed\n",
                     ToSeconds(now - start_), options_.streams - tally_.ended(),
                     frames - frames_at_tick_, Milliseconds(tally_.latency.Percentile(99)),
                     tally_.chunks_due - tally_.chunks_answered, failed)
              << std::flush;
    frames_at_tick_ = frames;
  }

  // Ends all calls: in order as long as the time limit allows, then by cancelling them.
  void Drain() {
    for (auto& stream : streams_) stream->Finish();
    if (!tally_.AwaitEnded(options_.streams, clock_.Now() + options_.server.timeout)) {
      const std::string reason =
          absl::StrCat("answers were still missing ", ToSeconds(options_.server.timeout),
                       " s after the last chunk; given up");
      for (auto& stream : streams_) stream->GiveUp(reason);
    }
    // gRPC ends a cancelled call by itself, without the server.
    while (!tally_.AwaitEnded(options_.streams, clock_.Now() + kTickTime)) {
    }
  }

  void Fill(LoadReport* report) const {
    report->streams = options_.streams;
    report->accepted = tally_.accepted();
    report->completed = tally_.completed();
    report->connections = connections_;
    if (report->seconds > 0) {
      report->frames_per_s = static_cast<double>(report->frames) / report->seconds;
    }
    report->realtime_streams = report->frames_per_s * ToSeconds(source_.frame_time());
    report->chunks_due = tally_.chunks_due;
    report->chunks_answered = tally_.chunks_answered;
    report->p50 = tally_.latency.Percentile(50);
    report->p95 = tally_.latency.Percentile(95);
    report->p99 = tally_.latency.Percentile(99);
    report->max = tally_.latency.max();
    report->lag_p99 = lag_.Percentile(99);
    report->errors = tally_.errors();
  }

  const LoadOptions& options_;
  const LoadSource source_;
  const std::atomic<bool>& stop_;
  std::ostream& progress_;
  const Clock& clock_ = *Clock::Real();

  LoadTally tally_;
  LatencyRecorder lag_;
  int connections_ = 0;
  std::vector<std::unique_ptr<v1::SpeechInference::Stub>> stubs_;
  std::vector<std::unique_ptr<LoadStream>> streams_;
  TimePoint start_;
  TimePoint next_poll_;
  TimePoint next_tick_;
  int64_t frames_at_tick_ = 0;
};

}  // namespace

absl::StatusOr<LoadReport> RunLoad(const LoadOptions& options, const std::atomic<bool>& stop,
                                   std::ostream& progress) {
  ESE_ASSIGN_OR_RETURN(const std::unique_ptr<SpeechClient> client,
                       SpeechClient::Connect(options.server));
  ESE_ASSIGN_OR_RETURN(const v1::Model model, client->FindModel(options.model));
  ESE_ASSIGN_OR_RETURN(LoadSource source, LoadSource::Create(model, options.source));
  const auto run = std::make_unique<LoadRun>(options, std::move(source), stop, progress);
  return run->Run();
}

}  // namespace ese
