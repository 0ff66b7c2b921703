// SPDX-License-Identifier: Apache-2.0
#include "server/call_loop.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>

#include "server/rpc_call.h"

namespace ese {
namespace {

// How many calls the loop requests in advance, so that it can accept as many at once.
constexpr int kRequestedCalls = 32;
// A poll of the queue may read part of a message and return no event. After this many polls without
// an event, nothing is waiting.
constexpr int kPolls = 2;
// Longer waits are counted as this one, so that the average recovers within a second after the
// machine has stalled.
constexpr Duration kLongestDelay = std::chrono::milliseconds(120);

}  // namespace

CallLoop::CallLoop(std::unique_ptr<grpc::ServerCompletionQueue> queue) : queue_(std::move(queue)) {}

CallLoop::~CallLoop() { Stop(); }

void CallLoop::Start(grpc::AsyncGenericService* service, Accept accept, CallHooks hooks) {
  service_ = service;
  hooks_ = std::move(hooks);
  accept_ = std::move(accept);
  for (int i = 0; i < kRequestedCalls; ++i) RequestCall();
  thread_ = std::thread([this] { Run(); });
}

void CallLoop::Stop() {
  if (thread_.joinable()) {
    Post([this] {
      stopping_ = true;
      ShutdownWhenEmpty();
    });
    thread_.join();
    return;
  }
  const MutexLock lock(mutex_);
  if (!std::exchange(stopped_, true)) {  // never started
    queue_->Shutdown();
    void* tag = nullptr;  // gRPC requires that the queue be drained
    for (bool ok = false; queue_->Next(&tag, &ok);) {
    }
  }
}

// Operations fail on a queue that has been shut down, so no call may be left.
void CallLoop::ShutdownWhenEmpty() {
  if (!stopping_ || calls_ > 0) return;
  const MutexLock lock(mutex_);
  if (!std::exchange(stopped_, true)) queue_->Shutdown();
}

void CallLoop::Post(Work work) {
  const MutexLock lock(mutex_);
  if (stopped_) return;
  posted_.push_back(std::move(work));
  if (!asleep_ || wake_pending_) return;
  wake_pending_ = true;
  // A time in the past, because for the present time gRPC would wake its timer thread.
  wake_.Set(queue_.get(), gpr_inf_past(GPR_CLOCK_MONOTONIC), this);
}

void CallLoop::Run() {
  pthread_setname_np(pthread_self(), "ese-loop");
  idle_at_ = Clock::Real()->Now();
  for (;;) {
    RunPosted();
    RunTimers();
    void* tag = nullptr;
    bool ok = false;
    const auto status = Next(&tag, &ok);
    {
      const MutexLock lock(mutex_);
      asleep_ = false;
      if (tag == this) wake_pending_ = false;
    }
    if (status == grpc::CompletionQueue::SHUTDOWN) return;
    if (status == grpc::CompletionQueue::GOT_EVENT && tag != this) RpcCall::OnEvent(tag, ok);
  }
}

// No event can have arrived before idle_at_, when the loop last had nothing to do.
grpc::CompletionQueue::NextStatus CallLoop::Next(void** tag, bool* ok) {
  for (int i = 0; i < kPolls; ++i) {
    const auto status = queue_->AsyncNext(tag, ok, gpr_inf_past(GPR_CLOCK_MONOTONIC));
    if (status == grpc::CompletionQueue::TIMEOUT) continue;
    NoteDelay(Clock::Real()->Now());
    return status;
  }
  const auto status = queue_->AsyncNext(tag, ok, WakeTime());
  idle_at_ = Clock::Real()->Now();
  NoteDelay(idle_at_);
  return status;
}

void CallLoop::NoteDelay(TimePoint now) {
  delay_ns_.Add(static_cast<double>(std::min(now - idle_at_, kLongestDelay).count()), now);
}

Duration CallLoop::Delay() const {
  return Duration(static_cast<int64_t>(delay_ns_.Decayed(Clock::Real()->Now())));
}

// Repeats until nothing is posted, because posted work may post more.
void CallLoop::RunPosted() {
  for (;;) {
    {
      const MutexLock lock(mutex_);
      asleep_ = posted_.empty();
      if (asleep_) return;
      running_.swap(posted_);
    }
    for (Work& work : running_) work();
    running_.clear();
  }
}

void CallLoop::RunTimers() {
  if (timers_.empty()) return;
  const TimePoint now = Clock::Real()->Now();
  while (!timers_.empty() && timers_.begin()->first <= now) {
    timers_.begin()->second->OnTimer();  // moves or removes the timer
  }
}

gpr_timespec CallLoop::WakeTime() const {
  if (timers_.empty()) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  const Duration wait = timers_.begin()->first - Clock::Real()->Now();
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(wait.count(), GPR_TIMESPAN));
}

void CallLoop::SetTimer(RpcCall* call, TimePoint before, TimePoint at) {
  timers_.erase({before, call});
  timers_.emplace(at, call);
}

void CallLoop::ClearTimer(RpcCall* call, TimePoint at) { timers_.erase({at, call}); }

void CallLoop::RequestCall() {
  if (stopping_) return;
  ++calls_;
  RpcCall::Request(this, service_, queue_.get());
}

void CallLoop::NoteCallDeleted() {
  --calls_;
  ShutdownWhenEmpty();
}

}  // namespace ese
