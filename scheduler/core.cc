#include "scheduler/core.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/retry_after.h"
#include "base/status.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

// Streams last for minutes, so places come free every few seconds on a full server.
constexpr Duration kRetryWhenFull = std::chrono::seconds(2);
// Long enough for an operator's restart, or a card's reset, to begin to help.
constexpr Duration kRetryWhenStopped = std::chrono::seconds(5);

int MaxLanes(const std::vector<std::unique_ptr<Channel>>& channels) {
  int lanes = 0;
  for (const auto& channel : channels) lanes = std::max(lanes, channel->max_lanes());
  return lanes;
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
    : model_(std::move(model)),
      options_(options),
      clock_(clock),
      metrics_(metrics),
      flights_(*model_, MaxLanes(channels), options.max_frames_per_lane),
      channels_(std::move(channels)),
      errands_([this] { RunErrands(); }) {
  for (int i = 0; metrics_ != nullptr && i < channels_.size(); ++i) {
    channel_metrics_.push_back(metrics_->ForChannel(channels_.channel(i).name()));
  }
}

SchedulerCore::~SchedulerCore() {
  {
    std::unique_lock lock(mutex_);
    assert(open_streams_ == 0);
    landed_.wait(lock, [this] { return in_flight_ == 0; });
    stopping_ = true;
    errand_.notify_one();
  }
  errands_.join();
}

absl::StatusOr<std::shared_ptr<StreamRecord>> SchedulerCore::Open(
    StreamOptions options, Scheduler::ResultCallback on_result) {
  ESE_RETURN_IF_ERROR(ValidateOptions(*model_, options));
  absl::Status refusal;
  {
    std::lock_guard lock(mutex_);
    if (open_streams_ >= options_.max_streams) {
      refusal = absl::UnavailableError(
          absl::StrCat("all ", options_.max_streams, " streams of model \"", model_->name,
                       "\" are in use; try again later, or another server"));
      SetRetryAfter(kRetryWhenFull, &refusal);
    } else if (channels_.working(clock_->Now()) == 0) {
      refusal = AllStoppedError();
    } else {
      ++open_streams_;
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
  return std::make_shared<StreamRecord>(*model_, options_, std::move(options),
                                        std::move(on_result));
}

absl::Status SchedulerCore::Push(StreamRecord* stream, absl::Span<const int8_t> frames) {
  bool ready = false;
  const absl::Status status = stream->Push(frames, clock_->Now(), &ready);
  if (ready) {
    Enqueue(stream);
    Dispatch();
  }
  return status;
}

void SchedulerCore::Close(StreamRecord* stream) {
  stream->Close();
  {
    std::lock_guard lock(mutex_);
    ready_.Retire(stream);
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
  return channels_.working(clock_->Now());
}

void SchedulerCore::Enqueue(StreamRecord* stream) {
  std::lock_guard lock(mutex_);
  ready_.Push(stream, stream->deadline());
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
    error = AllStoppedError();
  }
  for (const auto& stream : hopeless) stream->End(error);
  DeliverElsewhere(std::move(hopeless));
}

std::shared_ptr<Flight> SchedulerCore::NextFlight(StreamList* hopeless) {
  const auto pop = [this] { return static_cast<StreamRecord*>(ready_.Pop())->shared_from_this(); };
  std::lock_guard lock(mutex_);
  if (ready_.empty()) return nullptr;
  const TimePoint now = clock_->Now();
  const int channel = channels_.Acquire(now);
  if (channel == ChannelPool::kNone) {
    if (channels_.working(now) > 0) return nullptr;
    while (!ready_.empty()) hopeless->push_back(pop());
    return nullptr;
  }
  std::shared_ptr<Flight> flight = flights_.Take();
  flight->channel = channel;
  const int lanes = channels_.channel(channel).max_lanes();
  for (int i = 0; i < lanes && !ready_.empty(); ++i) flight->streams.push_back(pop());
  ++in_flight_;
  return flight;
}

void SchedulerCore::Fill(Flight* flight) {
  const TimePoint now = clock_->Now();
  int8_t* frames = flight->frames.data();
  int32_t* logits = flight->logits.data();
  for (const auto& stream : flight->streams) {
    Lane lane;
    const TakenFrames taken = stream->Take(options_.max_frames_per_lane, now, frames, &lane);
    lane.logits = {logits, static_cast<size_t>(taken.count) * model_->num_units()};
    frames += lane.frames.size();
    logits += lane.logits.size();
    flight->taken.push_back(taken);
    flight->batch->lanes.push_back(lane);
  }
}

void SchedulerCore::Launch(std::shared_ptr<Flight> flight) {
  Channel& channel = channels_.channel(flight->channel);
  Flight* const f = flight.get();
  // Land takes the flight out of the completion, which the channel may keep for longer.
  const absl::Status status = channel.Submit(
      &f->batch, [this, flight](std::unique_ptr<Batch> batch, const absl::Status& outcome) mutable {
        flight->batch = std::move(batch);
        Land(std::move(flight), outcome);
      });
  if (status.ok()) return;
  // A channel that is busy or broken is no fault of the streams. Anything else might be: it counts.
  const bool started = !absl::IsUnavailable(status);
  Settle(flight, started, status);
  if (started) DeliverElsewhere(flight->streams);
  FlightIsOver();
}

void SchedulerCore::Land(std::shared_ptr<Flight> flight, const absl::Status& status) {
  Settle(flight, /*started=*/true, status);
  Dispatch();
  for (const auto& stream : flight->streams) Deliver(stream.get());
  flight.reset();
  FlightIsOver();
}

void SchedulerCore::Settle(const std::shared_ptr<Flight>& flight, bool started,
                           const absl::Status& status) {
  const Batch& batch = *flight->batch;
  for (size_t i = 0; i < flight->streams.size(); ++i) {
    StreamRecord* const stream = flight->streams[i].get();
    bool ready;
    if (status.ok()) {
      StreamResult result;
      result.num_frames = flight->taken[i].count;
      result.logits = batch.lanes[i].logits;
      result.queue_time = flight->taken[i].queue_time;
      result.compute_time = batch.compute_time;
      ready = stream->Succeed(std::move(result), flight);
    } else {
      ready = started ? stream->Fail(status) : stream->Return();
    }
    if (ready) flight->ready.push_back(stream);
  }
  Duration rest{0};
  {
    std::lock_guard lock(mutex_);
    for (StreamRecord* stream : flight->ready) ready_.Push(stream, stream->deadline());
    channels_.Release(flight->channel, status, clock_->Now());
    rest = channels_.Rest(flight->channel);
  }
  Count(*flight, status);
  if (!status.ok()) {
    spdlog::warn("channel {} {} a batch of {} streams: {}; while others work it rests {} ms",
                 channels_.channel(flight->channel).name(), started ? "failed" : "refused",
                 flight->streams.size(), status.ToString(),
                 std::chrono::duration_cast<std::chrono::milliseconds>(rest).count());
  }
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
    Enqueue(stream);
    Dispatch();
  }
}

void SchedulerCore::FlightIsOver() {
  std::lock_guard lock(mutex_);
  // Under the lock: the destructor may be waiting for just this.
  if (--in_flight_ == 0) landed_.notify_all();
}

absl::Status SchedulerCore::AllStoppedError() const {
  absl::Status error = absl::UnavailableError(
      absl::StrCat("all ", channels_.size(), " channels of model \"", model_->name,
                   "\" have failed, the last with: ", channels_.last_error().ToString(),
                   "; try another server"));
  SetRetryAfter(kRetryWhenStopped, &error);
  return error;
}

void SchedulerCore::DeliverElsewhere(StreamList streams) {
  std::lock_guard lock(mutex_);
  undelivered_.insert(undelivered_.end(), streams.begin(), streams.end());
  errand_.notify_one();
}

void SchedulerCore::RunErrands() {
  std::unique_lock lock(mutex_);
  while (true) {
    errand_.wait(lock, [this] { return stopping_ || !undelivered_.empty(); });
    if (undelivered_.empty()) return;
    StreamList streams = std::exchange(undelivered_, {});
    lock.unlock();
    for (const auto& stream : streams) Deliver(stream.get());
    streams.clear();
    lock.lock();
  }
}

}  // namespace ese
