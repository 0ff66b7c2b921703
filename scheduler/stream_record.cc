// SPDX-License-Identifier: Apache-2.0
#include "scheduler/stream_record.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ese {

StreamRecord::StreamRecord(StreamsShared* shared, Tenant* tenant, StreamOptions options,
                           Scheduler::ResultCallback on_result)
    : shared_(shared),
      tenant_(tenant),
      input_columns_(shared->model->input_columns()),
      priority_(std::clamp(options.priority, -kMaxPriority, kMaxPriority)),
      queue_(input_columns_),
      credit_(shared->frames_per_second),
      next_frame_(options.first_frame),
      on_result_(std::move(on_result)) {
  const Model& model = *shared->model;
  states_[0] = options.initial_state
                   ? std::make_shared<StreamState>(*std::move(options.initial_state))
                   : std::make_shared<StreamState>(model);
  states_[1] = std::make_shared<StreamState>(model);
}

StreamRecord::~StreamRecord() { Hold(-held_); }

absl::Status StreamRecord::Push(absl::Span<const int8_t> frames, TimePoint now, bool* ready) {
  if (frames.empty() || frames.size() % input_columns_ != 0) {
    return absl::InvalidArgumentError(absl::StrCat("push of ", frames.size(),
                                                   " bytes; push one or more whole frames of ",
                                                   input_columns_, " bytes"));
  }
  const size_t n = frames.size() / input_columns_;
  const MutexLock lock(mutex_);
  if (!error_.ok()) return error_;
  if (n > static_cast<size_t>(shared_->options.max_queued_frames) ||
      !TryHold(static_cast<int>(n))) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "push of ", n, " frames into a queue with room for ", RoomLocked(), " of ",
        shared_->options.max_queued_frames, "; wait for results, or push fewer at once"));
  }
  queue_.Append(frames, now);
  waiting_.store(queue_.size() - in_flight_, std::memory_order_relaxed);
  *ready = BecomeReady();
  return absl::OkStatus();
}

int StreamRecord::room() const {
  const MutexLock lock(mutex_);
  return error_.ok() ? RoomLocked() : 0;
}

int StreamRecord::RoomLocked() const {
  const SchedulerOptions& options = shared_->options;
  const int64_t bytes =
      options.max_queued_bytes - shared_->queued_bytes.load(std::memory_order_relaxed);
  const int64_t room = std::min<int64_t>(options.max_queued_frames - held_, bytes / input_columns_);
  // There is always room for one batch of this stream, whatever other streams hold.
  const int batch = std::min(options.max_queued_frames, options.max_frames_per_lane);
  return static_cast<int>(std::max<int64_t>({0, room, batch - held_}));
}

TimePoint StreamRecord::deadline() const {
  const Duration target = shared_->options.target_latency;
  return ready_since_ + target - priority_ * kPriorityLatencies * target;
}

StreamSnapshot StreamRecord::Snapshot() const {
  const MutexLock lock(mutex_);
  return {.frame = next_frame_, .state = *states_[current_]};  // a batch writes the other one
}

void StreamRecord::Close() {
  // Destroyed after the lock is released, because destroying what a callback holds may call code
  // that we do not know.
  absl::InlinedVector<Delivery, 2> dropped;
  Scheduler::ResultCallback callback;
  const MutexLock lock(mutex_);
  closed_ = true;
  dropped.swap(deliveries_);
  if (delivering_ && deliverer_ == std::this_thread::get_id()) {
    closed_within_callback_ = true;  // DeliverNext, which called the callback, does the rest
    return;
  }
  while (delivering_) delivered_.Wait(mutex_);
  callback.swap(on_result_);
}

TakenFrames StreamRecord::Take(int max_frames, TimePoint now, int8_t* frames, Lane* lane) {
  const MutexLock lock(mutex_);
  assert(phase_ == Phase::kReady && !queue_.empty());
  phase_ = Phase::kInFlight;
  in_flight_ = std::min(max_frames, queue_.size());
  waiting_.store(queue_.size() - in_flight_, std::memory_order_relaxed);
  taken_at_ = now;
  queue_.CopyFront(in_flight_, frames);
  lane->frames = {frames, static_cast<size_t>(in_flight_) * input_columns_};
  lane->state_in = states_[current_].get();
  lane->state_out = states_[1 - current_].get();
  return {.count = in_flight_,
          .queue_time = now - queue_.front_time(),
          .ready_time = now - ready_since_,
          .real_time = credit_.Take(in_flight_, now)};
}

bool StreamRecord::Succeed(StreamResult result, std::shared_ptr<const void> keep) {
  const MutexLock lock(mutex_);
  assert(phase_ == Phase::kInFlight && result.num_frames == in_flight_);
  phase_ = Phase::kIdle;
  current_ = 1 - current_;
  attempts_ = 0;
  served_at_ = taken_at_;
  result.first_frame = next_frame_;
  next_frame_ += in_flight_;
  queue_.DropFront(in_flight_);
  in_flight_ = 0;
  if (!closed_) deliveries_.push_back({std::move(result), std::move(keep)});
  return BecomeReady();
}

bool StreamRecord::Fail(const absl::Status& error) {
  const MutexLock lock(mutex_);
  return FailLocked(error);
}

bool StreamRecord::Return() {
  const MutexLock lock(mutex_);
  assert(phase_ == Phase::kInFlight);
  phase_ = Phase::kIdle;
  in_flight_ = 0;
  return BecomeReady();
}

bool StreamRecord::Abandon(const absl::Status& error,
                           std::vector<std::shared_ptr<StreamState>>* abandoned) {
  const MutexLock lock(mutex_);
  auto copy = std::make_shared<StreamState>(*states_[current_]);
  auto blank = std::make_shared<StreamState>(*shared_->model);
  abandoned->push_back(std::exchange(states_[current_], std::move(copy)));
  abandoned->push_back(std::exchange(states_[1 - current_], std::move(blank)));
  return FailLocked(error);
}

void StreamRecord::End(const absl::Status& error) {
  const MutexLock lock(mutex_);
  assert(phase_ == Phase::kReady);
  EndLocked(error);
}

bool StreamRecord::DeliverNext(bool* ready) {
  Scheduler::ResultCallback callback;  // like `next`, destroyed after the lock is released
  Delivery next;
  MutexLock lock(mutex_);
  if (delivering_ || deliveries_.empty()) return false;
  next = std::move(deliveries_.front());
  deliveries_.erase(deliveries_.begin());
  Hold(-next.result.num_frames);
  delivering_ = true;
  deliverer_ = std::this_thread::get_id();

  lock.Unlock();
  on_result_(next.result);
  lock.Lock();

  delivering_ = false;
  if (closed_within_callback_) callback.swap(on_result_);
  if (closed_) delivered_.NotifyAll();
  *ready = BecomeReady();
  return true;
}

bool StreamRecord::BecomeReady() {
  const size_t undelivered = deliveries_.size() + (delivering_ ? 1 : 0);
  if (phase_ != Phase::kIdle || closed_ || queue_.empty() || undelivered > 1) return false;
  phase_ = Phase::kReady;
  waiting_.store(queue_.size(), std::memory_order_relaxed);
  ready_since_ = std::max(queue_.front_time(), served_at_);
  return true;
}

bool StreamRecord::FailLocked(const absl::Status& error) {
  assert(phase_ == Phase::kInFlight);
  phase_ = Phase::kIdle;
  in_flight_ = 0;
  if (++attempts_ < shared_->options.max_attempts) return BecomeReady();
  EndLocked(absl::Status(error.code(),
                         absl::StrCat("frames from ", next_frame_, " on failed in ", attempts_,
                                      " batches, the last time with: ", error.message())));
  return false;
}

void StreamRecord::EndLocked(const absl::Status& error) {
  phase_ = Phase::kEnded;
  error_ = error;
  if (closed_) return;
  deliveries_.push_back({});
  deliveries_.back().result.first_frame = next_frame_;
  deliveries_.back().result.status = error;
}

void StreamRecord::Hold(int frames) {
  held_ += frames;
  shared_->queued_bytes.fetch_add(int64_t{frames} * input_columns_, std::memory_order_relaxed);
}

// Adds first and checks afterwards, so that several streams at once cannot exceed the limit
// together.
bool StreamRecord::TryHold(int frames) {
  const SchedulerOptions& options = shared_->options;
  Hold(frames);
  if (held_ <= std::min(options.max_queued_frames, options.max_frames_per_lane)) return true;
  if (held_ <= options.max_queued_frames &&
      shared_->queued_bytes.load(std::memory_order_relaxed) <= options.max_queued_bytes) {
    return true;
  }
  Hold(-frames);
  return false;
}

}  // namespace ese
