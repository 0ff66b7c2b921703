// SPDX-License-Identifier: Apache-2.0
#include "scheduler/core.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/retry_after.h"
#include "base/status.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

// Streams last for minutes, so places come free every few seconds on a full server.
constexpr Duration kRetryWhenFull = std::chrono::seconds(2);
// Lanes arrive in bursts; over so long their rate is worth something.
constexpr Duration kArrivalWindow = std::chrono::milliseconds(100);
// A real-time stream's frames per second where the model does not know of audio.
constexpr double kUsualFramesPerSecond = 100;

int MaxLanes(const std::vector<std::unique_ptr<Channel>>& channels) {
  int lanes = 0;
  for (const auto& channel : channels) lanes = std::max(lanes, channel->max_lanes());
  return lanes;
}

double StreamFramesPerSecond(const Model& model) {
  return model.frame_ms() > 0 ? 1000 / model.frame_ms() : kUsualFramesPerSecond;
}

absl::Status ValidateOptions(const Model& model, const StreamOptions& options) {
  if (options.first_frame < 0) {
    return absl::InvalidArgumentError(absl::StrCat("a stream begins with frame ",
                                                   options.first_frame, "; begin with 0 or later"));
  }
  if (!options.initial_state) return absl::OkStatus();
  const size_t cells = options.initial_state->c.size();
  const size_t outputs = options.initial_state->y.size();
  if (cells == static_cast<size_t>(model.total_cells()) &&
      outputs == static_cast<size_t>(model.total_outputs())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("an initial state of ", cells, " cells and ", outputs,
                   " outputs, where model \"", model.name, "\" has ", model.total_cells(), " and ",
                   model.total_outputs(), "; resume a stream with the model that it began with"));
}

}  // namespace

SchedulerCore::SchedulerCore(std::shared_ptr<const Model> model,
                             std::vector<std::unique_ptr<Channel>> channels,
                             const SchedulerOptions& options, Clock* clock,
                             SchedulerMetrics* metrics)
    : clock_(clock),
      metrics_(metrics),
      commons_{
          .model = model, .options = options, .frames_per_second = StreamFramesPerSecond(*model)},
      options_(commons_.options),
      known_answer_(commons_.model),
      flights_(*commons_.model, MaxLanes(channels), options.max_frames_per_lane),
      ready_(options.tenant_weights),
      admission_(options.max_load, options.target_latency, commons_.frames_per_second,
                 options.processors),
      arrivals_(kArrivalWindow),
      aloft_(channels.size()),
      channels_(std::move(channels)),
      alarm_(clock->MakeAlarm([this] { OnAlarm(); })) {
  for (int i = 0; metrics_ != nullptr && i < channels_.size(); ++i) {
    channel_metrics_.push_back(metrics_->ForChannel(channels_.channel(i).name()));
  }
  ShowChannels();
  for (int i = 0; i < channels_.size(); ++i) {
    std::unique_lock lock(mutex_);
    auto flight = TestFlight(i);
    lock.unlock();
    Launch(std::move(flight));
  }
}

SchedulerCore::~SchedulerCore() {
  {
    std::unique_lock lock(mutex_);
    assert(open_streams_ == 0);
    stopping_ = true;
    landed_.wait(lock, [this] { return in_flight_ == 0; });
  }
  alarm_.reset();
}

absl::StatusOr<std::shared_ptr<StreamRecord>> SchedulerCore::Open(
    StreamOptions options, Scheduler::ResultCallback on_result) {
  ESE_RETURN_IF_ERROR(ValidateOptions(model(), options));
  absl::Status refusal;
  Tenant* tenant = nullptr;
  {
    std::lock_guard lock(mutex_);
    const TimePoint now = clock_->Now();
    if (open_streams_ >= options_.max_streams) {
      refusal = absl::UnavailableError(
          absl::StrCat("all ", options_.max_streams, " streams of model \"", model().name,
                       "\" are in use; try again later, or another server"));
      SetRetryAfter(kRetryWhenFull, &refusal);
    } else if (channels_.working() == 0) {
      refusal = NoChannelError();
    } else {
      refusal = admission_.Check(now, channels_.Capacity(options_.max_frames_per_lane),
                                 options.upstream_wait);
    }
    if (refusal.ok()) {
      ++open_streams_;
      admission_.Opened(now);
      tenant = ready_.Join(options.tenant);
    }
  }
  if (!refusal.ok()) {
    if (metrics_ != nullptr) metrics_->streams_refused->Increment();
    return refusal;
  }
  if (metrics_ != nullptr) {
    metrics_->streams_opened->Increment();
    metrics_->streams->Increment();
  }
  return std::make_shared<StreamRecord>(&commons_, tenant, std::move(options),
                                        std::move(on_result));
}

absl::Status SchedulerCore::Push(StreamRecord* stream, absl::Span<const int8_t> frames) {
  bool ready = false;
  const TimePoint now = clock_->Now();
  const absl::Status status = stream->Push(frames, now, &ready);
  if (ready) {
    {
      std::lock_guard lock(mutex_);
      ready_.Push(stream->tenant(), stream, stream->deadline());
      arrivals_.Add(1, now);
    }
    Dispatch();
  }
  return status;
}

void SchedulerCore::Close(StreamRecord* stream) {
  stream->Close();
  {
    std::lock_guard lock(mutex_);
    ready_.Leave(stream->tenant(), stream);
    --open_streams_;
  }
  if (metrics_ != nullptr) metrics_->streams->Decrement();
}

int SchedulerCore::open_streams() const {
  std::lock_guard lock(mutex_);
  return open_streams_;
}

int SchedulerCore::working_channels() const {
  std::lock_guard lock(mutex_);
  return channels_.working();
}

int SchedulerCore::proven_channels() const {
  std::lock_guard lock(mutex_);
  return channels_.proven();
}

void SchedulerCore::Dispatch() {
  StreamList hopeless;
  while (std::shared_ptr<Flight> flight = NextFlight(&hopeless)) {
    Fill(flight.get());
    Launch(std::move(flight));
  }
  if (hopeless.empty()) return;
  absl::Status error;
  {
    std::lock_guard lock(mutex_);
    error = NoChannelError();
  }
  for (const auto& stream : hopeless) stream->End(error);
  DeliverElsewhere(std::move(hopeless));
}

std::shared_ptr<Flight> SchedulerCore::NextFlight(StreamList* hopeless) {
  std::lock_guard lock(mutex_);
  if (ready_.empty()) return nullptr;
  const int channel = channels_.Fastest(ready_.size());
  if (channel == ChannelPool::kNone) {
    if (channels_.working() > 0) return nullptr;
    while (!ready_.empty()) {
      hopeless->push_back(static_cast<StreamRecord*>(ready_.Pop())->shared_from_this());
    }
    return nullptr;
  }
  const TimePoint now = clock_->Now();
  if (WorthWaiting(channel, now)) return nullptr;
  channels_.Acquire(channel);
  std::shared_ptr<Flight> flight = flights_.Take();
  flight->channel = channel;
  Board(flight.get());
  const int frames = std::accumulate(flight->waiting.begin(), flight->waiting.end(), 0);
  flight->expected = channels_.cost(channel).Of(flight->steps, frames);
  ++in_flight_;
  return flight;
}

// Waits only where that can be expected to double the lanes, by the rate at which streams have
// become ready of late, and where a frame costs notably less with more lanes.
bool SchedulerCore::WorthWaiting(int channel, TimePoint now) {
  const auto* const first = static_cast<StreamRecord*>(ready_.First());
  const TimePoint end = first->ready_since() + options_.target_latency / 10;
  if (now >= end) return false;
  const int lanes = ready_.size();
  if (arrivals_.PerSecond(now) * ToSeconds(end - now) < lanes) return false;
  const int steps = std::clamp(first->waiting(), 1, options_.max_frames_per_lane);
  if (lanes >=
      EfficientLanes(channels_.cost(channel), channels_.channel(channel).max_lanes(), steps)) {
    return false;
  }
  alarm_->Set(end);
  return true;
}

void SchedulerCore::Board(Flight* flight) {
  const ChannelCost& cost = channels_.cost(flight->channel);
  const Duration budget = options_.target_latency / 4;
  const int lanes = PlanLanes(cost, channels_.channel(flight->channel).max_lanes(), budget);
  for (int i = 0; i < lanes && !ready_.empty(); ++i) {
    auto* const stream = static_cast<StreamRecord*>(ready_.Pop());
    const int frames = std::min(stream->waiting(), options_.max_frames_per_lane);
    ready_.Charge(stream->tenant(), frames);
    flight->waiting.push_back(frames);
    flight->streams.push_back(stream->shared_from_this());
  }
  flight->steps = PlanSteps(cost, flight->waiting, options_.max_frames_per_lane, budget);
  for (size_t i = 0; i < flight->streams.size(); ++i) {
    const int left = std::max(0, flight->waiting[i] - flight->steps);
    if (left == 0) continue;
    ready_.Charge(flight->streams[i]->tenant(), -left);
    flight->waiting[i] -= left;
  }
}

void SchedulerCore::Fill(Flight* flight) {
  const TimePoint now = clock_->Now();
  const int units = model().num_units();
  int8_t* frames = flight->frames.data();
  int32_t* logits = flight->logits.data();
  for (const auto& stream : flight->streams) {
    Lane lane;
    const TakenFrames taken = stream->Take(flight->steps, now, frames, &lane);
    lane.logits = {logits, static_cast<size_t>(taken.count) * units};
    frames += lane.frames.size();
    logits += lane.logits.size();
    flight->taken.push_back(taken);
    flight->batch->lanes.push_back(lane);
  }
}

void SchedulerCore::Land(std::shared_ptr<Flight> flight, const absl::Status& status) {
  Settle(flight, status);
  if (!status.ok()) {
    spdlog::warn("channel {} failed a batch of {} streams: {}",
                 channels_.channel(flight->channel).name(), flight->streams.size(),
                 status.ToString());
    StartTests();
  }
  Dispatch();
  for (const auto& stream : flight->streams) Deliver(stream.get());
  flight.reset();
  FlightIsOver();
}

void SchedulerCore::Settle(const std::shared_ptr<Flight>& flight, const absl::Status& status) {
  const Batch& batch = *flight->batch;
  int frames = 0;            // of all lanes
  int real_time_frames = 0;  // see RealTimeCredit
  Duration wait{0};          // the longest of streams with no others
  for (size_t i = 0; i < flight->streams.size(); ++i) {
    StreamRecord* const stream = flight->streams[i].get();
    const TakenFrames& taken = flight->taken[i];
    frames += taken.count;
    real_time_frames += taken.real_time;
    if (taken.real_time == taken.count) wait = std::max(wait, taken.ready_time);
    bool ready;
    if (status.ok()) {
      StreamResult result;
      result.num_frames = taken.count;
      result.logits = batch.lanes[i].logits;
      result.queue_time = taken.queue_time;
      result.compute_time = batch.compute_time;
      ready = stream->Succeed(std::move(result), flight);
    } else {
      ready = BlamesTheChannel(status) ? stream->Return() : stream->Fail(status);
    }
    if (ready) flight->ready.push_back(stream);
  }
  {
    std::lock_guard lock(mutex_);
    for (StreamRecord* stream : flight->ready) {
      ready_.Push(stream->tenant(), stream, stream->deadline());
    }
    if (status.ok()) {
      channels_.Release(flight->channel);
      channels_.cost(flight->channel).Learn(batch.steps, frames, batch.compute_time);
      admission_.Taken(clock_->Now(), frames, real_time_frames, wait);
    } else {
      FailChannel(flight->channel, status);
    }
  }
  Count(*flight, status);
}

void SchedulerCore::Count(const Flight& flight, const absl::Status& status) {
  if (metrics_ == nullptr) return;
  const ChannelMetrics& channel = channel_metrics_[flight.channel];
  if (!status.ok()) {
    channel.failures->Increment();
    return;
  }
  const Batch& batch = *flight.batch;
  int frames = 0;
  for (const TakenFrames& taken : flight.taken) {
    frames += taken.count;
    metrics_->queue_wait_seconds->Observe(ToSeconds(taken.queue_time));
  }
  const double seconds = ToSeconds(batch.compute_time);
  channel.batches->Increment();
  channel.busy_seconds->Increment(seconds);
  metrics_->frames->Increment(frames);
  metrics_->batch_frames->Observe(frames);
  metrics_->batch_lanes->Observe(static_cast<double>(flight.streams.size()));
  metrics_->batch_seconds->Observe(seconds);
  if (batch.steps > 0) metrics_->step_seconds->Observe(seconds / batch.steps);
}

void SchedulerCore::Deliver(StreamRecord* stream) {
  bool ready = false;
  while (stream->DeliverNext(&ready)) {
    if (!ready) continue;
    {
      std::lock_guard lock(mutex_);
      ready_.Push(stream->tenant(), stream, stream->deadline());
    }
    Dispatch();
  }
}

void SchedulerCore::DeliverElsewhere(StreamList streams) {
  {
    std::lock_guard lock(mutex_);
    undelivered_.insert(undelivered_.end(), streams.begin(), streams.end());
  }
  alarm_->Set(clock_->Now());
}

}  // namespace ese
