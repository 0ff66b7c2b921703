// SPDX-License-Identifier: Apache-2.0
// SchedulerCore's care for its channels: batches out and back, tests, and what happens to those
// that fail or do not finish.
#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/retry_after.h"
#include "scheduler/core.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

// A batch is overdue that takes so many times longer than expected, and longer than the watchdog.
constexpr int kOverrun = 10;
// Long enough for an operator's restart, or a card's reset, to begin to help.
constexpr Duration kRetryWhenStopped = std::chrono::seconds(5);

// What a new channel is tested with, and timed by all but the first, which finds its caches cold.
// A channel that has failed gets the last again.
struct TestShape {
  bool all_lanes;
  int steps;
};
constexpr TestShape kTests[] = {
    {false, 1}, {false, 1}, {false, KnownAnswer::kSteps}, {true, KnownAnswer::kSteps}};
constexpr int kLastTest = 3;

}  // namespace

// Not before its streams' frames have been taken: giving it up returns them.
void SchedulerCore::Depart(const std::shared_ptr<Flight>& flight) {
  std::lock_guard lock(mutex_);
  flight->overdue = clock_->Now() + std::max(options_.watchdog, kOverrun * flight->expected);
  aloft_[flight->channel] = flight;
  alarm_->Set(flight->overdue);
}

void SchedulerCore::Launch(std::shared_ptr<Flight> flight) {
  Depart(flight);
  Channel& channel = channels_.channel(flight->channel);
  Flight* const f = flight.get();
  // The completion gives the flight away, though the channel may keep the completion for longer.
  const absl::Status status = channel.Submit(
      &f->batch, [this, flight](std::unique_ptr<Batch> batch, const absl::Status& outcome) mutable {
        flight->batch = std::move(batch);
        if (!Reclaim(flight)) {
          LandLate(std::move(flight));
        } else if (flight->test != nullptr) {
          LandTest(std::move(flight), outcome);
        } else {
          Land(std::move(flight), outcome);
        }
      });
  if (status.ok()) return;
  if (!Reclaim(flight)) return LandLate(std::move(flight));
  if (flight->test != nullptr) return LandTest(std::move(flight), status);
  Settle(flight, status);
  // Not worth more: what is wrong with it, its tests tell.
  spdlog::debug("channel {} refused a batch: {}", channel.name(), status.ToString());
  if (!BlamesTheChannel(status)) DeliverElsewhere(flight->streams);  // their last attempt, maybe
  flight.reset();
  FlightIsOver();
  StartTests();
}

bool SchedulerCore::Reclaim(const std::shared_ptr<Flight>& flight) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<Flight>& aloft = aloft_[flight->channel];
  if (aloft != flight) return false;
  aloft = nullptr;
  return true;
}

void SchedulerCore::FlightIsOver() {
  std::lock_guard lock(mutex_);
  // Under the lock: the destructor may be waiting for just this.
  if (--in_flight_ == 0) landed_.notify_all();
}

void SchedulerCore::StartTests() {
  while (true) {
    std::shared_ptr<Flight> flight;
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return;
      const int channel = channels_.StartTest(clock_->Now());
      if (channel == ChannelPool::kNone) return;
      flight = TestFlight(channel);
    }
    Launch(std::move(flight));
  }
}

std::shared_ptr<Flight> SchedulerCore::TestFlight(int channel) {
  std::shared_ptr<Flight> flight = flights_.Take();
  flight->channel = channel;
  flight->test = std::make_unique<ChannelTest>();
  flight->test->stage = channels_.cost(channel).measured() ? kLastTest : 0;
  PrepareTest(flight.get());
  ++in_flight_;
  return flight;
}

void SchedulerCore::PrepareTest(Flight* flight) {
  const auto [all_lanes, steps] = kTests[flight->test->stage];
  const int lanes = all_lanes ? channels_.channel(flight->channel).max_lanes() : 1;
  flight->test->probe = known_answer_.Make(lanes, steps);
  flight->batch->lanes.clear();
  known_answer_.Fill(&flight->test->probe, flight->batch.get());
}

void SchedulerCore::LandTest(std::shared_ptr<Flight> flight, absl::Status status) {
  const int channel = flight->channel;
  ChannelTest& test = *flight->test;
  if (status.ok()) status = known_answer_.Check(test.probe);
  test.times[test.stage] = flight->batch->compute_time;
  bool again = false;
  int failures = 0;  // before this test
  {
    std::lock_guard lock(mutex_);
    failures = channels_.failures(channel);
    if (!status.ok()) {
      FailChannel(channel, status);
    } else if (test.stage < kLastTest) {
      again = !stopping_;
    } else {
      if (!channels_.cost(channel).measured()) {
        channels_.cost(channel) = MeasuredCost(test.times[1], test.times[2], test.times[3],
                                               test.probe.lanes, test.probe.steps);
      }
      channels_.Pass(channel);
      ShowChannels();
    }
    if (again) {
      ++test.stage;
      PrepareTest(flight.get());
      ++in_flight_;
    }
  }
  if (again) {
    Launch(std::move(flight));
  } else {
    flight.reset();
  }
  if (!again) LogTest(channel, failures, status);
  StartTests();
  Dispatch();
  FlightIsOver();
}

// Only when the channel ceases to count and when it counts again: in between it fails a test a
// minute, and a broken card has many channels.
void SchedulerCore::LogTest(int channel, int failures, const absl::Status& status) {
  const std::string& name = channels_.channel(channel).name();
  constexpr int kLast = ChannelPool::kFailuresToStop;
  if (!status.ok()) {
    spdlog::log(failures + 1 == kLast ? spdlog::level::err : spdlog::level::debug,
                "channel {} is left out until it passes a test, for it has failed {} times: {}",
                name, failures + 1, status.ToString());
  } else if (failures >= kLast) {
    spdlog::info("channel {} works again", name);
  }
}

void SchedulerCore::FailChannel(int channel, const absl::Status& error) {
  channels_.Fail(channel, error, clock_->Now());
  alarm_->Set(channels_.NextTest());
  ShowChannels();
}

void SchedulerCore::ShowChannels() {
  if (metrics_ != nullptr) metrics_->channels_working->Set(channels_.working());
}

// The streams have gone on without it.
void SchedulerCore::LandLate(std::shared_ptr<Flight> flight) {
  const std::string& name = channels_.channel(flight->channel).name();
  {
    std::lock_guard lock(mutex_);
    FailChannel(flight->channel, absl::DeadlineExceededError(absl::StrCat(
                                     "channel ", name, " finished a batch after its time")));
  }
  spdlog::warn("channel {} has finished the batch that was given up; it is tested now", name);
  flight.reset();
  StartTests();
  FlightIsOver();
}

absl::Status SchedulerCore::OverrunError(int channel) const {
  return absl::DeadlineExceededError(absl::StrCat(
      "channel ", channels_.channel(channel).name(), " has not finished a batch within ",
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.watchdog).count(), " ms"));
}

// Its channel has been marked as hung.
void SchedulerCore::GiveUp(const std::shared_ptr<Flight>& flight) {
  const absl::Status error = OverrunError(flight->channel);
  spdlog::error("{}; the batch's {} streams go on elsewhere", std::string(error.message()),
                flight->streams.size());
  if (metrics_ != nullptr) channel_metrics_[flight->channel].overruns->Increment();
  for (const auto& stream : flight->streams) {
    if (stream->Abandon(error, &flight->abandoned)) flight->ready.push_back(stream.get());
  }
  {
    std::lock_guard lock(mutex_);
    for (StreamRecord* stream : flight->ready) {
      ready_.Push(stream->tenant(), stream, stream->deadline());
    }
  }
  for (const auto& stream : flight->streams) Deliver(stream.get());
}

void SchedulerCore::OnAlarm() {
  StreamList undelivered;
  std::vector<std::shared_ptr<Flight>> overdue;
  {
    std::lock_guard lock(mutex_);
    undelivered.swap(undelivered_);
    const TimePoint now = clock_->Now();
    for (std::shared_ptr<Flight>& flight : aloft_) {
      if (flight == nullptr || now < flight->overdue) continue;
      if (now - flight->overdue > options_.watchdog) {
        // We have been standing still ourselves, perhaps with all of the machine.
        flight->overdue = now + options_.watchdog;
      } else {
        channels_.Hang(flight->channel, OverrunError(flight->channel));
        ShowChannels();
        overdue.push_back(std::move(flight));
      }
    }
  }
  for (const auto& flight : overdue) GiveUp(flight);
  StartTests();
  Dispatch();
  for (const auto& stream : undelivered) Deliver(stream.get());
  std::lock_guard lock(mutex_);
  for (const auto& flight : aloft_) {
    if (flight != nullptr) alarm_->Set(flight->overdue);
  }
  alarm_->Set(channels_.NextTest());
}

absl::Status SchedulerCore::NoChannelError() const {
  absl::Status error = absl::UnavailableError(
      absl::StrCat("none of the ", channels_.size(), " channels of model \"", model().name,
                   "\" works, the last to fail with: ", channels_.last_error().ToString(),
                   "; try another server"));
  SetRetryAfter(kRetryWhenStopped, &error);
  return error;
}

}  // namespace ese
