// SPDX-License-Identifier: Apache-2.0
#include "bench/scheduler_simulation.h"

#include <algorithm>
#include <cstdio>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/fake_clock.h"
#include "model/testing.h"
#include "scheduler/testing.h"

namespace ese {
namespace {

constexpr Duration kFrame = std::chrono::milliseconds(10);
constexpr int kLanes = 64;
constexpr int kUsualSteps = 10;
// How many test batches a new channel computes; a channel that failed computes one.
constexpr int kFirstTests = 4;

// Measures the real time between Begin and End, without the time that reading the clock takes.
class Stopwatch {
 public:
  Stopwatch() {
    for (int i = 0; i < 100'000; ++i) {
      Begin();
      End();
    }
    overhead_ = total_ / 100'000;
    total_ = Duration(0);
  }
  void Begin() { begin_ = Clock::Real()->Now(); }
  void End() { total_ += Clock::Real()->Now() - begin_ - overhead_; }
  void Reset() { total_ = Duration(0); }
  Duration total() const { return total_; }

 private:
  TimePoint begin_{};
  Duration overhead_{0};
  Duration total_{0};
};

struct Counts {
  int64_t batches = 0;
  int64_t lanes = 0;
};

// Takes as long for a batch as its cost says, to within 5 %. It computes the results of test
// batches only.
class SimulatedChannel final : public Channel {
 public:
  SimulatedChannel(std::shared_ptr<const Model> model, std::string name, const ChannelCost& cost,
                   EventQueue* events, Stopwatch* stopwatch, Counts* counts)
      : model_(std::move(model)),
        name_(std::move(name)),
        cost_(cost),
        events_(events),
        stopwatch_(stopwatch),
        counts_(counts) {}

  absl::Status Submit(std::unique_ptr<Batch>* batch, Completion done) override {
    if (batch_ != nullptr) return absl::UnavailableError("busy");
    batch_ = std::move(*batch);
    done_ = std::move(done);
    int frames = 0;
    batch_->steps = 0;
    for (const Lane& lane : batch_->lanes) {
      const int n = static_cast<int>(lane.frames.size()) / model_->input_columns();
      batch_->steps = std::max(batch_->steps, n);
      frames += n;
    }
    const double odd = std::uniform_real_distribution<double>(0.95, 1.05)(random_);
    const Duration time(
        static_cast<int64_t>(odd * static_cast<double>(cost_.Of(batch_->steps, frames).count())));
    batch_->compute_time = time;
    const Duration stall = std::exchange(stall_, Duration(0));
    stalls_ = stall > Duration(0);
    events_->At(events_->now() + time + stall, [this] { Finish(); });
    return absl::OkStatus();
  }
  int max_lanes() const override { return kLanes; }
  const std::string& name() const override { return name_; }
  const std::string& kernel() const override { return name_; }

  // Makes all batches that end before this time fail.
  void FailUntil(TimePoint end) { fails_until_ = end; }
  // Makes the next batch take this much longer.
  void StallOnce(Duration by) { stall_ = by; }

 private:
  void Finish() {
    absl::Status status;
    if (std::exchange(stalls_, false)) {
      tests_ = 1;  // the scheduler has given this batch up and tests the channel next
    } else if (events_->now() < fails_until_) {
      status = absl::InternalError("simulated failure");
      tests_ = 1;
    } else if (tests_ > 0) {
      RunReferenceBatch(*model_, batch_.get());
      --tests_;
    } else {
      ++counts_->batches;
      counts_->lanes += static_cast<int64_t>(batch_->lanes.size());
    }
    auto batch = std::move(batch_);
    const auto done = std::exchange(done_, nullptr);
    stopwatch_->Begin();
    done(std::move(batch), status);
    stopwatch_->End();
  }

  const std::shared_ptr<const Model> model_;
  const std::string name_;
  const ChannelCost cost_;
  EventQueue* const events_;
  Stopwatch* const stopwatch_;
  Counts* const counts_;
  std::mt19937 random_{7};
  int tests_ = kFirstTests;
  TimePoint fails_until_{};
  Duration stall_{0};
  bool stalls_ = false;
  std::unique_ptr<Batch> batch_;
  Completion done_;
};

// A card's channel costs about the same for each step, however few lanes there are. A CPU channel's
// cost grows with the lanes; the first has the costs measured for the paper's LSTM on one core
// (docs/performance.md), and the other three are slower.
std::vector<ChannelCost> TrueCosts() {
  std::vector<ChannelCost> costs;
  for (int i = 0; i < 64; ++i) {
    costs.push_back({.per_batch_ns = 100e3, .per_step_ns = 300e3, .per_frame_ns = 500});
  }
  for (const double slowness : {1.0, 1.5, 2.0, 4.0}) {
    costs.push_back({.per_batch_ns = slowness * 5e3,
                     .per_step_ns = slowness * 10e3,
                     .per_frame_ns = slowness * 2.1e3});
  }
  return costs;
}

class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : options_(options),
        events_(&clock_),
        content_(static_cast<size_t>(kMostFrames) * model_->input_columns()) {
    std::mt19937 random(1);
    for (int8_t& v : content_) v = static_cast<int8_t>(random());
    MakeScheduler();
  }
  ~Simulation() {
    for (Stream& stream : streams_) stream.handle.reset();
    // Lets the batches in flight end.
    measuring_ = false;
    Run(std::chrono::seconds(10));
  }

  SimulationResult Result() {
    Open();
    Run(options_.warm_up);
    counts_ = {};
    stopwatch_.Reset();
    measuring_ = true;
    if (options_.faults) {
      channels_[20]->FailUntil(clock_.Now() + options_.measured / 2);
      channels_[30]->StallOnce(std::chrono::seconds(3));
    }
    Run(options_.measured);
    measuring_ = false;
    result_.scheduler_time = stopwatch_.total();
    result_.batches = counts_.batches;
    result_.lanes = counts_.lanes;
    result_.lanes_offered = counts_.batches * kLanes;
    SpreadOfWaits();
    return result_;
  }

 private:
  static constexpr int kMostFrames = 256;
  struct Stream {
    std::unique_ptr<Scheduler::Stream> handle;
    Duration period{0};  // between chunks
    bool stalls = false;
    TimePoint stalls_until{};
    int owed = 0;  // frames that are due and have not been pushed
    double wait_ms = 0;
    int results = 0;
  };

  void MakeScheduler() {
    std::vector<ChannelCost> costs = TrueCosts();
    double capacity = 0;
    for (const ChannelCost& cost : costs) capacity += cost.FramesPerSecond(kLanes, kUsualSteps);
    const SimulatedStreams& streams = options_.streams;
    const double demand = streams.count * 100.0 * (1 + 4.0 / streams.fast_in);
    const double slowness = options_.load * capacity / demand;
    std::vector<std::unique_ptr<Channel>> channels;
    for (size_t i = 0; i < costs.size(); ++i) {
      costs[i].factor = slowness;
      channels.push_back(std::make_unique<SimulatedChannel>(
          model_, absl::StrCat("channel", i), costs[i], &events_, &stopwatch_, &counts_));
      channels_.push_back(static_cast<SimulatedChannel*>(channels.back().get()));
    }
    SchedulerOptions scheduler = options_.scheduler;
    scheduler.max_streams = streams.count;
    scheduler.max_queued_bytes = int64_t{16} << 30;
    scheduler_ =
        std::make_unique<Scheduler>(model_, std::move(channels), scheduler, &clock_, nullptr);
    Run(std::chrono::seconds(1));  // the channels' tests
  }

  // Opens the streams at random times within the period of one chunk.
  void Open() {
    const SimulatedStreams& mix = options_.streams;
    streams_.resize(mix.count);
    const Duration chunk = mix.frames_per_chunk * kFrame;
    for (int i = 0; i < mix.count; ++i) {
      Stream& stream = streams_[i];
      const Duration phase(std::uniform_int_distribution<int64_t>(0, chunk.count() - 1)(random_));
      stream.period = i % mix.fast_in == 0 ? chunk / 5 : chunk;
      stream.stalls = i % mix.stalls_in == 1;
      events_.At(clock_.Now() + phase, [this, &stream] { Begin(&stream); });
    }
  }

  void Begin(Stream* stream) {
    auto handle = scheduler_->Open({}, [this, stream](const StreamResult& r) { Note(stream, r); });
    if (!handle.ok()) {
      ++result_.refused;
      return;
    }
    stream->handle = *std::move(handle);
    Chunk(stream);
  }

  void Chunk(Stream* stream) {
    if (stream->handle == nullptr) return;
    events_.At(clock_.Now() + stream->period, [this, stream] { Chunk(stream); });
    stream->owed = std::min(stream->owed + options_.streams.frames_per_chunk, kMostFrames);
    if (stream->stalls && clock_.Now() >= stream->stalls_until && random_() % 40 == 0) {
      stream->stalls_until =
          clock_.Now() + std::chrono::milliseconds(500 + static_cast<int>(random_() % 1000));
    }
    if (clock_.Now() < stream->stalls_until) return;
    const int n = std::min(stream->owed, stream->handle->room());
    if (n == 0) return;  // as with flow control, the stream waits
    stream->owed -= n;
    stopwatch_.Begin();
    const absl::Status status =
        stream->handle->Push({content_.data(), static_cast<size_t>(n) * model_->input_columns()});
    stopwatch_.End();
    if (!status.ok()) ++result_.errors;
  }

  void Note(Stream* stream, const StreamResult& r) {
    if (!r.status.ok()) ++result_.errors;
    if (!measuring_ || !r.status.ok()) return;
    result_.frames += r.num_frames;
    result_.wait.Add(r.queue_time);
    result_.latency.Add(r.queue_time + r.compute_time);
    stream->wait_ms += 1e3 * ToSeconds(r.queue_time);
    ++stream->results;
  }

  void SpreadOfWaits() {
    std::vector<double> waits;
    const Duration chunk = options_.streams.frames_per_chunk * kFrame;
    for (const Stream& stream : streams_) {
      if (stream.stalls || stream.period < chunk || stream.results == 0) continue;
      waits.push_back(stream.wait_ms / stream.results);
    }
    if (waits.empty()) return;
    std::sort(waits.begin(), waits.end());
    result_.stream_wait_p01_ms = waits[waits.size() / 100];
    result_.stream_wait_p99_ms = waits[waits.size() * 99 / 100];
  }

  void Run(Duration time) {
    events_.RunUntil(clock_.Now() + time, [this](Duration by) {
      stopwatch_.Begin();
      clock_.Advance(by);
      stopwatch_.End();
    });
  }

  const SimulationOptions options_;
  // The model has as many inputs and units as the paper's LSTM, but hardly any cells, because only
  // test batches are computed.
  const std::shared_ptr<const Model> model_ =
      RandomModel({.inputs = 153, .layers = {{.cells = 2}}, .units = 40, .density = 0.1});
  FakeClock clock_;
  EventQueue events_;
  Stopwatch stopwatch_;
  Counts counts_;
  std::mt19937 random_{3};
  std::vector<int8_t> content_;
  std::vector<SimulatedChannel*> channels_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<Stream> streams_;
  bool measuring_ = false;
  SimulationResult result_;
};

}  // namespace

void EventQueue::RunUntil(TimePoint end, const std::function<void(Duration)>& advance) {
  while (!events_.empty() && events_.top().time <= end) {
    advance(events_.top().time - now());
    auto run = std::move(const_cast<Event&>(events_.top()).run);
    events_.pop();
    run();
  }
  advance(end - now());
}

SimulationResult Simulate(const SimulationOptions& options) { return Simulation(options).Result(); }

}  // namespace ese
