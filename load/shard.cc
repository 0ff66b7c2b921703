// SPDX-License-Identifier: Apache-2.0
#include "load/shard.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ese {
namespace {

constexpr Duration kPollTime = std::chrono::milliseconds(10);  // how often the schedule is read

gpr_timespec ToGpr(Duration wait) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(std::max<int64_t>(wait.count(), 0), GPR_TIMESPAN));
}

}  // namespace

LoadShard::LoadShard(int first, int stride, const LoadSchedule* schedule,
                     const LoadBehaviour* behaviour, const LoadSource* source, LoadTally* tally,
                     std::vector<std::string> addresses, int connections,
                     const AccessOptions& access)
    : schedule_(*schedule),
      source_(*source),
      tally_(*tally),
      connections_(std::move(addresses), connections, schedule->timeout, access),
      environment_{*behaviour, source_, tally_, clock_, connections_, queue_, timers_, live_},
      told_to_speak_(schedule->ramp > Duration(0)) {
  std::mt19937_64 random(schedule_.seed + static_cast<uint64_t>(first));
  std::uniform_int_distribution<int64_t> phase(0, source_.chunk_time().count() - 1);
  for (int i = first; i < schedule_.streams; i += stride) {
    streams_.push_back(std::make_unique<LoadStream>(i, Duration(phase(random)), &environment_));
    const TimePoint at = schedule_.open_from + schedule_.ramp * i / schedule_.streams;
    timers_.Add({at, streams_.back().get(), LoadTimers::Kind::kOpen});
    if (told_to_speak_) streams_.back()->BeginToSpeak(at);
    ++live_;
  }
}

LoadShard::~LoadShard() {
  queue_.Shutdown();
  void* tag;
  bool ok;
  while (queue_.Next(&tag, &ok)) {
  }
}

void LoadShard::Run() {
  while (live_ > 0) {
    Poll(clock_.Now());
    for (const TimePoint until = clock_.Now() + kPollTime; clock_.Now() < until;) {
      const TimePoint next = std::min(FireTimers(), until);
      void* tag;
      bool ok;
      if (queue_.AsyncNext(&tag, &ok, ToGpr(next - clock_.Now())) ==
          grpc::CompletionQueue::GOT_EVENT) {
        LoadCall::Handle(tag, ok);
      }
    }
  }
}

TimePoint LoadShard::FireTimers() {
  const TimePoint now = clock_.Now();
  while (!timers_.empty() && timers_.next() <= now) Fire(timers_.Pop(), now);
  return timers_.empty() ? TimePoint::max() : timers_.next();
}

void LoadShard::Fire(const LoadTimers::Timer& timer, TimePoint now) {
  if (timer.kind == LoadTimers::Kind::kOpen) return timer.stream->Open();
  if (timer.at >= schedule_.speak_until.load()) return;
  if (tally_.Measures(timer.at)) tally_.lag.Record(now - timer.at);
  if (!timer.stream->Due(timer.at)) return;
  timers_.Add({timer.at + source_.chunk_time(), timer.stream, timer.kind});
}

void LoadShard::Poll(TimePoint now) {
  const TimePoint speak_from = schedule_.speak_from;
  if (!told_to_speak_ && speak_from != TimePoint::max()) {
    told_to_speak_ = true;
    for (auto& stream : streams_) stream->BeginToSpeak(speak_from);
  }
  if (!late_given_up_ && !schedule_.accept_late) {
    late_given_up_ = true;
    for (auto& stream : streams_) stream->GiveUpUnlessAccepted(schedule_.timeout);
  }
  if (schedule_.cut_every > Duration(0) && speak_from != TimePoint::max() && !finished_) {
    if (next_cut_ == TimePoint::max()) next_cut_ = speak_from + schedule_.cut_every;
    if (now >= next_cut_) {
      next_cut_ += schedule_.cut_every;
      if (connections_.CutNext()) ++tally_.cuts;
    }
  }
  PollEnd(now);
}

void LoadShard::PollEnd(TimePoint now) {
  if (!finished_ && now >= schedule_.speak_until.load()) {
    FireTimers();  // chunks that were due before the end but are late count too
    finished_ = true;
    give_up_at_ = now + schedule_.timeout;
    for (auto& stream : streams_) stream->Finish();
  }
  if (now >= give_up_at_) {
    give_up_at_ = TimePoint::max();
    const std::string reason =
        absl::StrCat("answers were still missing ", ToSeconds(schedule_.timeout),
                     " s after the last chunk; given up");
    for (auto& stream : streams_) stream->GiveUp(reason);
  }
  if (now < next_check_) return;
  next_check_ = now + std::chrono::seconds(1);
  for (auto& stream : streams_) stream->CheckStalled(now, schedule_.timeout);
}

}  // namespace ese
