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

// Streams last for minutes, so on a full server one ends every few seconds.
constexpr Duration kRetryWhenFull = std::chrono::seconds(2);
// Streams become ready in bursts; over this time their rate is meaningful.
constexpr Duration kArrivalWindow = std::chrono::milliseconds(100);
// The frames per second of a real-time stream if the model does not say how long a frame is.
constexpr double kUsualFramesPerSecond = 100;

double StreamFramesPerSecond(const Model& model) {
  return model.frame_ms() > 0 ? 1000 / model.frame_ms() : kUsualFramesPerSecond;
}

absl::Status ValidateOptions(const Model& model, const StreamOptions& options) {
  if (options.first_frame < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("first_frame is ", options.first_frame, "; it must be at least 0"));
  }
  if (!options.initial_state) return absl::OkStatus();
  const size_t cells = options.initial_state->c.size();
  const size_t outputs = options.initial_state->y.size();
  if (cells == static_cast<size_t>(model.total_cells()) &&
      outputs == static_cast<size_t>(model.total_outputs())) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the initial state has ", cells, " cells and ", outputs,
                   " outputs, but model \"", model.name, "\" has ", model.total_cells(), " and ",
                   model.total_outputs(), "; resume a stream with the model that it began with"));
}

// Whether the channel, not the batch, is to blame for a failure. Such a failure does not count as
// an attempt of the batch's streams.
bool BlamesTheChannel(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDataLoss(status);
}

}  // namespace

SchedulerCore::SchedulerCore(std::shared_ptr<const Model> model,
                             std::vector<std::unique_ptr<Channel>> channels,
                             const SchedulerOptions& options, Clock* clock,
                             SchedulerMetrics* metrics)
    : clock_(clock),
      metrics_(metrics),
      shared_{
          .model = model, .options = options, .frames_per_second = StreamFramesPerSecond(*model)},
      options_(shared_.options),
      ready_(options.tenant_weights),
      admission_(options.max_load, options.target_latency, shared_.frames_per_second,
                 options.processors),
      arrivals_(kArrivalWindow),
      channels_(std::move(model), std::move(channels), &options_, clock, metrics, this),
      alarm_(clock->MakeAlarm([this] { OnAlarm(); })) {
  channels_.Start(alarm_.get());
}

SchedulerCore::~SchedulerCore() {
  assert(open_streams() == 0);
  channels_.Stop();
  alarm_.reset();
}

absl::StatusOr<std::shared_ptr<StreamRecord>> SchedulerCore::Open(
    StreamOptions options, Scheduler::ResultCallback on_result) {
  ESE_RETURN_IF_ERROR(ValidateOptions(model(), options));
  absl::Status refusal;
  Tenant* tenant = nullptr;
  {
    const MutexLock lock(mutex_);
    const TimePoint now = clock_->Now();
    refusal = CheckRoom(options, now);
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
  return std::make_shared<StreamRecord>(&shared_, tenant, std::move(options), std::move(on_result));
}

void SchedulerCore::ShowLoad() {
  if (metrics_ == nullptr) return;
  const MutexLock lock(mutex_);
  const TimePoint now = clock_->Now();
  metrics_->load->Set(std::max(admission_.Load(now, channels_.Capacity()), admission_.Use(now)));
}

absl::Status SchedulerCore::CheckRoom(const StreamOptions& options, TimePoint now) {
  if (open_streams_ >= options_.max_streams) {
    absl::Status refusal = absl::UnavailableError(
        absl::StrCat("model \"", model().name, "\" already has ", options_.max_streams,
                     " open streams, the limit; try again later, or try another server"));
    SetRetryAfter(kRetryWhenFull, &refusal);
    return refusal;
  }
  if (channels_.working() == 0) return channels_.NoChannelError();
  return admission_.Check(now, channels_.Capacity(), options.upstream_wait);
}

absl::Status SchedulerCore::Push(StreamRecord* stream, absl::Span<const int8_t> frames) {
  bool ready = false;
  const TimePoint now = clock_->Now();
  const absl::Status status = stream->Push(frames, now, &ready);
  if (ready) {
    {
      const MutexLock lock(mutex_);
      MakeReady(stream);
      arrivals_.Add(1, now);
    }
    Dispatch();
  }
  return status;
}

void SchedulerCore::Close(StreamRecord* stream) {
  stream->Close();
  {
    const MutexLock lock(mutex_);
    ready_.Leave(stream->tenant(), stream);
    --open_streams_;
  }
  if (metrics_ != nullptr) metrics_->streams->Decrement();
}

int SchedulerCore::open_streams() const {
  const MutexLock lock(mutex_);
  return open_streams_;
}

void SchedulerCore::MakeReady(StreamRecord* stream) {
  ready_.Push(stream->tenant(), stream, stream->deadline());
}

void SchedulerCore::Dispatch() {
  StreamList stranded;
  while (std::shared_ptr<BatchRun> run = NextRun(&stranded)) {
    FillLanes(run.get());
    channels_.Submit(std::move(run));
  }
  if (stranded.empty()) return;
  const absl::Status error = channels_.NoChannelError();
  for (const auto& stream : stranded) stream->End(error);
  DeliverOnAlarm(std::move(stranded));
}

std::shared_ptr<BatchRun> SchedulerCore::NextRun(StreamList* stranded) {
  const MutexLock lock(mutex_);
  if (ready_.empty()) return nullptr;
  const std::optional<FreeChannel> channel = channels_.Fastest(ready_.size());
  if (!channel) {
    if (channels_.working() > 0) return nullptr;
    while (!ready_.empty()) {
      stranded->push_back(static_cast<StreamRecord*>(ready_.Pop())->shared_from_this());
    }
    return nullptr;
  }
  if (WorthWaiting(*channel, clock_->Now())) return nullptr;
  std::shared_ptr<BatchRun> run = channels_.Acquire(channel->channel);
  PlanBatch(*channel, run.get());
  const int frames = std::accumulate(run->waiting.begin(), run->waiting.end(), 0);
  run->expected = channel->cost.Of(run->steps, frames);
  return run;
}

// Waits only if the number of lanes can be expected to double, by the rate at which streams have
// lately become ready, and if a frame costs notably less with more lanes.
bool SchedulerCore::WorthWaiting(const FreeChannel& channel, TimePoint now) {
  const auto* const first = static_cast<StreamRecord*>(ready_.First());
  const TimePoint end = first->ready_since() + options_.target_latency / 10;
  if (now >= end) return false;
  const int lanes = ready_.size();
  if (arrivals_.PerSecond(now) * ToSeconds(end - now) < lanes) return false;
  const int steps = std::clamp(first->waiting(), 1, options_.max_frames_per_lane);
  if (lanes >= EfficientLanes(channel.cost, channel.max_lanes, steps)) return false;
  alarm_->Set(end);
  return true;
}

// Charges the tenants as streams are taken, because that decides whose stream is next, and pays
// back what the batch leaves behind.
void SchedulerCore::PlanBatch(const FreeChannel& channel, BatchRun* run) {
  const Duration budget = options_.target_latency / 4;
  const int lanes = PlanLanes(channel.cost, channel.max_lanes, budget);
  for (int i = 0; i < lanes && !ready_.empty(); ++i) {
    auto* const stream = static_cast<StreamRecord*>(ready_.Pop());
    const int frames = std::min(stream->waiting(), options_.max_frames_per_lane);
    ready_.Charge(stream->tenant(), frames);
    run->waiting.push_back(frames);
    run->streams.push_back(stream->shared_from_this());
  }
  run->steps = PlanSteps(channel.cost, run->waiting, options_.max_frames_per_lane, budget);
  for (size_t i = 0; i < run->streams.size(); ++i) {
    const int left = std::max(0, run->waiting[i] - run->steps);
    if (left == 0) continue;
    ready_.Charge(run->streams[i]->tenant(), -left);
    run->waiting[i] -= left;
  }
}

void SchedulerCore::FillLanes(BatchRun* run) {
  const TimePoint now = clock_->Now();
  const int units = model().num_units();
  int8_t* frames = run->frames.data();
  int32_t* logits = run->logits.data();
  for (const auto& stream : run->streams) {
    Lane lane;
    const TakenFrames taken = stream->Take(run->steps, now, frames, &lane);
    lane.logits = {logits, static_cast<size_t>(taken.count) * units};
    frames += lane.frames.size();
    logits += lane.logits.size();
    run->taken.push_back(taken);
    run->batch->lanes.push_back(lane);
  }
}

void SchedulerCore::OnCompleted(const std::shared_ptr<BatchRun>& run, const absl::Status& status) {
  FinishLanes(run, status);
  if (!status.ok()) {
    spdlog::warn("channel {} failed a batch of {} streams: {}", channels_.name(run->channel),
                 run->streams.size(), status.ToString());
    channels_.StartTests();
  }
  Dispatch();
  for (const auto& stream : run->streams) Deliver(stream.get());
}

void SchedulerCore::OnRefused(const std::shared_ptr<BatchRun>& run, const absl::Status& error) {
  FinishLanes(run, error);
  // This may have been the last attempt of some streams, which then end with an error.
  if (!BlamesTheChannel(error)) DeliverOnAlarm(run->streams);
}

void SchedulerCore::OnOverdue(const std::shared_ptr<BatchRun>& run, const absl::Status& error) {
  for (const auto& stream : run->streams) {
    if (stream->Abandon(error, &run->abandoned)) run->ready.push_back(stream.get());
  }
  {
    const MutexLock lock(mutex_);
    for (StreamRecord* stream : run->ready) MakeReady(stream);
  }
  for (const auto& stream : run->streams) Deliver(stream.get());
}

void SchedulerCore::FinishLanes(const std::shared_ptr<BatchRun>& run, const absl::Status& status) {
  const Batch& batch = *run->batch;
  int frames = 0;            // of all lanes
  int real_time_frames = 0;  // see RealTimeCredit
  Duration wait{0};          // the longest wait of a stream whose frames are all in real time
  for (size_t i = 0; i < run->streams.size(); ++i) {
    StreamRecord* const stream = run->streams[i].get();
    const TakenFrames& taken = run->taken[i];
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
      ready = stream->Succeed(std::move(result), run);
    } else {
      ready = BlamesTheChannel(status) ? stream->Return() : stream->Fail(status);
    }
    if (ready) run->ready.push_back(stream);
  }
  {
    const MutexLock lock(mutex_);
    for (StreamRecord* stream : run->ready) MakeReady(stream);
    if (status.ok()) {
      channels_.Release(run->channel, batch.steps, frames, batch.compute_time);
      admission_.Taken(clock_->Now(), frames, real_time_frames, wait);
    } else {
      channels_.Fail(run->channel, status);
    }
  }
  Count(*run, status);
}

void SchedulerCore::Count(const BatchRun& run, const absl::Status& status) {
  if (metrics_ == nullptr) return;
  const ChannelMetrics& channel = *channels_.metrics(run.channel);
  if (!status.ok()) {
    channel.failures->Increment();
    return;
  }
  const Batch& batch = *run.batch;
  int frames = 0;
  for (const TakenFrames& taken : run.taken) {
    frames += taken.count;
    metrics_->queue_wait_seconds->Observe(ToSeconds(taken.queue_time));
  }
  const double seconds = ToSeconds(batch.compute_time);
  channel.batches->Increment();
  channel.busy_seconds->Increment(seconds);
  channel.frames->Increment(frames);
  metrics_->frames->Increment(frames);
  metrics_->batch_frames->Observe(frames);
  metrics_->batch_lanes->Observe(static_cast<double>(run.streams.size()));
  metrics_->batch_seconds->Observe(seconds);
  if (batch.steps > 0) metrics_->step_seconds->Observe(seconds / batch.steps);
}

void SchedulerCore::Deliver(StreamRecord* stream) {
  bool ready = false;
  while (stream->DeliverNext(&ready)) {
    if (!ready) continue;
    {
      const MutexLock lock(mutex_);
      MakeReady(stream);
    }
    Dispatch();
  }
}

void SchedulerCore::DeliverOnAlarm(StreamList streams) {
  {
    const MutexLock lock(mutex_);
    undelivered_.insert(undelivered_.end(), streams.begin(), streams.end());
  }
  alarm_->Set(clock_->Now());
}

void SchedulerCore::OnAlarm() {
  StreamList undelivered;
  {
    const MutexLock lock(mutex_);
    undelivered.swap(undelivered_);
  }
  channels_.GiveUpOverdue();
  channels_.StartTests();
  Dispatch();
  for (const auto& stream : undelivered) Deliver(stream.get());
  channels_.SetAlarm();
}

}  // namespace ese
