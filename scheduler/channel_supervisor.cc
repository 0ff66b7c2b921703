// SPDX-License-Identifier: Apache-2.0
#include "scheduler/channel_supervisor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/retry_after.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

// A batch is overdue if it takes this many times longer than expected, and longer than the
// watchdog's time.
constexpr int kOverdueFactor = 10;
// Long enough for an operator's restart, or for the reset of a card, to take effect.
constexpr Duration kRetryWhenStopped = std::chrono::seconds(5);

// A new channel computes all of these. The first finds the caches cold, so only the other three are
// used to measure its cost. A channel that has failed computes only the last.
struct TestShape {
  bool all_lanes;
  int steps;
};
constexpr TestShape kTests[] = {
    {false, 1}, {false, 1}, {false, KnownAnswer::kSteps}, {true, KnownAnswer::kSteps}};
constexpr int kLastTest = 3;

int MaxLanes(const std::vector<std::unique_ptr<Channel>>& channels) {
  int lanes = 0;
  for (const auto& channel : channels) lanes = std::max(lanes, channel->max_lanes());
  return lanes;
}

std::vector<Channel*> Pointers(const std::vector<std::unique_ptr<Channel>>& channels) {
  std::vector<Channel*> pointers;
  for (const auto& channel : channels) pointers.push_back(channel.get());
  return pointers;
}

}  // namespace

ChannelSupervisor::ChannelSupervisor(std::shared_ptr<const Model> model,
                                     std::vector<std::unique_ptr<Channel>> channels,
                                     const SchedulerOptions* options, Clock* clock,
                                     SchedulerMetrics* metrics, Client* client)
    : model_(std::move(model)),
      channels_(Pointers(channels)),
      options_(*options),
      clock_(clock),
      metrics_(metrics),
      client_(client),
      known_answer_(model_),
      runs_(*model_, MaxLanes(channels), options->max_frames_per_lane),
      executing_(channels.size()),
      pool_(std::move(channels)) {
  if (metrics_ == nullptr) return;
  for (Channel* channel : channels_) {
    channel_metrics_.push_back(metrics_->ForChannel(channel->name()));
  }
}

void ChannelSupervisor::Start(Alarm* alarm) {
  alarm_ = alarm;
  std::vector<std::shared_ptr<BatchRun>> tests;
  {
    const MutexLock lock(mutex_);
    ShowWorking();
    for (int i = 0; i < pool_.size(); ++i) tests.push_back(MakeTest(i));
  }
  for (auto& test : tests) Submit(std::move(test));
}

void ChannelSupervisor::Stop() {
  const MutexLock lock(mutex_);
  stopping_ = true;
  while (in_flight_ > 0) all_ended_.Wait(mutex_);
}

std::optional<ChannelSupervisor::FreeChannel> ChannelSupervisor::Fastest(int lanes) const {
  const MutexLock lock(mutex_);
  const int channel = pool_.Fastest(lanes);
  if (channel == ChannelPool::kNone) return std::nullopt;
  return FreeChannel{.channel = channel,
                     .max_lanes = channels_[channel]->max_lanes(),
                     .cost = pool_.cost(channel)};
}

std::shared_ptr<BatchRun> ChannelSupervisor::Acquire(int channel) {
  std::shared_ptr<BatchRun> run = runs_.Take();
  run->channel = channel;
  const MutexLock lock(mutex_);
  pool_.Acquire(channel);
  ++in_flight_;
  return run;
}

void ChannelSupervisor::Submit(std::shared_ptr<BatchRun> run) {
  Submitted(run);
  BatchRun* const r = run.get();
  // The completion gives its pointer away, because the channel may keep the completion for longer.
  const absl::Status status = channels_[r->channel]->Submit(
      &r->batch, [this, run](std::unique_ptr<Batch> batch, const absl::Status& outcome) mutable {
        run->batch = std::move(batch);
        Complete(std::move(run), outcome);
      });
  if (status.ok()) return;
  if (!TakeBack(run)) return CompleteLate(std::move(run));
  if (run->test != nullptr) return CompleteTest(std::move(run), status);
  client_->OnRefused(run, status);
  // Its tests will tell what is wrong with the channel.
  spdlog::debug("channel {} refused a batch: {}", name(run->channel), status.ToString());
  run.reset();
  RunEnded();
  StartTests();
}

// REQUIRES: the streams' frames have been taken, because giving the run up returns them.
void ChannelSupervisor::Submitted(const std::shared_ptr<BatchRun>& run) {
  const MutexLock lock(mutex_);
  const TimePoint overdue =
      clock_->Now() + std::max(options_.watchdog, kOverdueFactor * run->expected);
  executing_[run->channel] = {.run = run, .overdue = overdue};
  alarm_->Set(overdue);
}

void ChannelSupervisor::Complete(std::shared_ptr<BatchRun> run, const absl::Status& status) {
  if (!TakeBack(run)) return CompleteLate(std::move(run));
  if (run->test != nullptr) return CompleteTest(std::move(run), status);
  client_->OnCompleted(run, status);
  run.reset();
  RunEnded();
}

bool ChannelSupervisor::TakeBack(const std::shared_ptr<BatchRun>& run) {
  const MutexLock lock(mutex_);
  std::shared_ptr<BatchRun>& executing = executing_[run->channel].run;
  if (executing != run) return false;
  executing = nullptr;
  return true;
}

void ChannelSupervisor::RunEnded() {
  const MutexLock lock(mutex_);
  // Notifies under the lock, because as soon as Stop returns this object may be destroyed.
  if (--in_flight_ == 0) all_ended_.NotifyAll();
}

void ChannelSupervisor::Release(int channel, int steps, int frames, Duration took) {
  const MutexLock lock(mutex_);
  pool_.Release(channel);
  pool_.cost(channel).Learn(steps, frames, took);
}

void ChannelSupervisor::Fail(int channel, const absl::Status& error) {
  const MutexLock lock(mutex_);
  FailLocked(channel, error);
}

void ChannelSupervisor::FailLocked(int channel, const absl::Status& error) {
  pool_.Fail(channel, error, clock_->Now());
  alarm_->Set(pool_.NextTest());
  ShowWorking();
}

void ChannelSupervisor::ShowWorking() {
  if (metrics_ != nullptr) metrics_->channels_working->Set(pool_.working());
}

void ChannelSupervisor::StartTests() {
  while (true) {
    std::shared_ptr<BatchRun> run;
    {
      const MutexLock lock(mutex_);
      if (stopping_) return;
      const int channel = pool_.StartTest(clock_->Now());
      if (channel == ChannelPool::kNone) return;
      run = MakeTest(channel);
    }
    Submit(std::move(run));
  }
}

std::shared_ptr<BatchRun> ChannelSupervisor::MakeTest(int channel) {
  std::shared_ptr<BatchRun> run = runs_.Take();
  run->channel = channel;
  run->test = std::make_unique<ChannelTest>();
  run->test->stage = pool_.cost(channel).measured() ? kLastTest : 0;
  PrepareTest(run.get());
  ++in_flight_;
  return run;
}

void ChannelSupervisor::PrepareTest(BatchRun* run) const {
  const auto [all_lanes, steps] = kTests[run->test->stage];
  const int lanes = all_lanes ? channels_[run->channel]->max_lanes() : 1;
  run->test->batch = known_answer_.Make(lanes, steps);
  run->batch->lanes.clear();
  known_answer_.Fill(&run->test->batch, run->batch.get());
}

void ChannelSupervisor::CompleteTest(std::shared_ptr<BatchRun> run, absl::Status status) {
  const int channel = run->channel;
  if (status.ok()) status = known_answer_.Check(run->test->batch);
  run->test->times[run->test->stage] = run->batch->compute_time;
  int failures = 0;
  if (JudgeTest(run.get(), status, &failures)) {
    Submit(std::move(run));
  } else {
    run.reset();
    LogTest(channel, failures, status);
  }
  StartTests();
  client_->OnTested();
  RunEnded();
}

bool ChannelSupervisor::JudgeTest(BatchRun* run, const absl::Status& status, int* failures) {
  const int channel = run->channel;
  ChannelTest& test = *run->test;
  const MutexLock lock(mutex_);
  *failures = pool_.failures(channel);
  if (!status.ok()) {
    FailLocked(channel, status);
    return false;
  }
  if (test.stage < kLastTest) {
    if (stopping_) return false;
    ++test.stage;
    PrepareTest(run);
    ++in_flight_;
    return true;
  }
  if (!pool_.cost(channel).measured()) {
    pool_.cost(channel) = MeasuredCost(test.times[1], test.times[2], test.times[3],
                                       test.batch.lanes, test.batch.steps);
  }
  pool_.Pass(channel);
  ShowWorking();
  return false;
}

// Logs only when the channel stops and when it works again. In between it fails a test a minute,
// and a broken card has many channels.
void ChannelSupervisor::LogTest(int channel, int failures, const absl::Status& status) const {
  constexpr int kLast = ChannelPool::kFailuresToStop;
  if (!status.ok()) {
    spdlog::log(failures + 1 == kLast ? spdlog::level::err : spdlog::level::debug,
                "channel {} has failed {} times and gets no streams until it passes a test: {}",
                name(channel), failures + 1, status.ToString());
  } else if (failures >= kLast) {
    spdlog::info("channel {} works again", name(channel));
  }
}

// The streams have continued elsewhere.
void ChannelSupervisor::CompleteLate(std::shared_ptr<BatchRun> run) {
  const std::string& channel = name(run->channel);
  Fail(run->channel, absl::DeadlineExceededError(
                         absl::StrCat("channel ", channel, " finished a batch after its time")));
  spdlog::warn("channel {} has finished a batch that was given up; testing the channel", channel);
  run.reset();
  StartTests();
  RunEnded();
}

absl::Status ChannelSupervisor::OverdueError(int channel) const {
  return absl::DeadlineExceededError(absl::StrCat(
      "channel ", name(channel), " has not finished a batch within ",
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.watchdog).count(), " ms"));
}

void ChannelSupervisor::GiveUpOverdue() {
  std::vector<std::shared_ptr<BatchRun>> overdue;
  {
    const MutexLock lock(mutex_);
    const TimePoint now = clock_->Now();
    for (Execution& execution : executing_) {
      if (execution.run == nullptr || now < execution.overdue) continue;
      if (now - execution.overdue > options_.watchdog) {
        // The alarm rang much too late: this process, perhaps the whole machine, was standing
        // still, and the channel with it.
        execution.overdue = now + options_.watchdog;
      } else {
        pool_.Hang(execution.run->channel, OverdueError(execution.run->channel));
        ShowWorking();
        overdue.push_back(std::move(execution.run));
      }
    }
  }
  for (const auto& run : overdue) {
    const absl::Status error = OverdueError(run->channel);
    spdlog::error("{}; the batch's {} streams continue on other channels",
                  std::string(error.message()), run->streams.size());
    if (metrics_ != nullptr) channel_metrics_[run->channel].overruns->Increment();
    client_->OnOverdue(run, error);
  }
}

void ChannelSupervisor::SetAlarm() {
  const MutexLock lock(mutex_);
  for (const Execution& execution : executing_) {
    if (execution.run != nullptr) alarm_->Set(execution.overdue);
  }
  alarm_->Set(pool_.NextTest());
}

int ChannelSupervisor::working() const {
  const MutexLock lock(mutex_);
  return pool_.working();
}

int ChannelSupervisor::proven() const {
  const MutexLock lock(mutex_);
  return pool_.proven();
}

double ChannelSupervisor::Capacity() const {
  const MutexLock lock(mutex_);
  return pool_.Capacity(options_.max_frames_per_lane);
}

absl::Status ChannelSupervisor::NoChannelError() const {
  const MutexLock lock(mutex_);
  absl::Status error = absl::UnavailableError(
      absl::StrCat("none of the ", pool_.size(), " channels of model \"", model_->name,
                   "\" works; the last one to fail said: ", pool_.last_error().ToString(),
                   "; try another server"));
  SetRetryAfter(kRetryWhenStopped, &error);
  return error;
}

}  // namespace ese
