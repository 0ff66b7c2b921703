#include "scheduler/stream_record.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ese {

StreamRecord::StreamRecord(const Model& model, const SchedulerOptions& options,
                           StreamOptions stream_options, Scheduler::ResultCallback on_result)
    : input_dim_(model.input_dim()),
      max_queued_frames_(options.max_queued_frames),
      max_attempts_(options.max_attempts),
      target_latency_(options.target_latency),
      states_{stream_options.initial_state ? *std::move(stream_options.initial_state)
                                           : StreamState(model),
              StreamState(model)},
      queue_(input_dim_),
      next_frame_(stream_options.first_frame),
      on_result_(std::move(on_result)) {}

absl::Status StreamRecord::Push(absl::Span<const int8_t> frames, TimePoint now, bool* ready) {
  if (frames.empty() || frames.size() % input_dim_ != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("push of ", frames.size(), " bytes; push whole frames of ", input_dim_));
  }
  const size_t n = frames.size() / input_dim_;
  std::lock_guard lock(mutex_);
  if (!error_.ok()) return error_;
  const int room = max_queued_frames_ - held_;
  if (n > static_cast<size_t>(room)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("push of ", n, " frames into a queue with room for ", room, " of ",
                     max_queued_frames_, "; wait for results, or push fewer at once"));
  }
  queue_.Append(frames, now);
  held_ += static_cast<int>(n);
  *ready = BecomeReady();
  return absl::OkStatus();
}

int StreamRecord::room() const {
  std::lock_guard lock(mutex_);
  return error_.ok() ? max_queued_frames_ - held_ : 0;
}

StreamSnapshot StreamRecord::Snapshot() const {
  std::lock_guard lock(mutex_);
  return {.frame = next_frame_, .state = states_[current_]};  // a batch writes the other
}

void StreamRecord::Close() {
  // Destroyed after the lock is released: what a callback holds is not ours.
  absl::InlinedVector<Delivery, 2> dropped;
  Scheduler::ResultCallback callback;
  std::unique_lock lock(mutex_);
  closed_ = true;
  dropped.swap(deliveries_);
  if (delivering_ && deliverer_ == std::this_thread::get_id()) {
    closed_within_callback_ = true;  // DeliverNext, below us on this stack, does the rest
    return;
  }
  delivered_.wait(lock, [this] { return !delivering_; });
  callback.swap(on_result_);
  lock.unlock();
}

TakenFrames StreamRecord::Take(int max_frames, TimePoint now, int8_t* frames, Lane* lane) {
  std::lock_guard lock(mutex_);
  assert(phase_ == Phase::kReady && !queue_.empty());
  phase_ = Phase::kInFlight;
  in_flight_ = std::min(max_frames, queue_.size());
  queue_.CopyFront(in_flight_, frames);
  lane->frames = {frames, static_cast<size_t>(in_flight_) * input_dim_};
  lane->state_in = &states_[current_];
  lane->state_out = &states_[1 - current_];
  return {.count = in_flight_, .queue_time = now - queue_.front_time()};
}

bool StreamRecord::Succeed(StreamResult result, std::shared_ptr<const void> keep) {
  std::lock_guard lock(mutex_);
  assert(phase_ == Phase::kInFlight && result.num_frames == in_flight_);
  phase_ = Phase::kIdle;
  current_ = 1 - current_;
  attempts_ = 0;
  result.first_frame = next_frame_;
  result.state = &states_[current_];
  next_frame_ += in_flight_;
  queue_.DropFront(in_flight_);
  if (!closed_) deliveries_.push_back({std::move(result), std::move(keep)});
  return BecomeReady();
}

bool StreamRecord::Fail(const absl::Status& error) {
  std::lock_guard lock(mutex_);
  assert(phase_ == Phase::kInFlight);
  phase_ = Phase::kIdle;
  if (++attempts_ < max_attempts_) return BecomeReady();
  EndLocked(absl::Status(error.code(),
                         absl::StrCat("frames from ", next_frame_, " on failed in ", attempts_,
                                      " batches, at last with: ", error.message())));
  return false;
}

bool StreamRecord::Return() {
  std::lock_guard lock(mutex_);
  assert(phase_ == Phase::kInFlight);
  phase_ = Phase::kIdle;
  return BecomeReady();
}

void StreamRecord::End(const absl::Status& error) {
  std::lock_guard lock(mutex_);
  assert(phase_ == Phase::kReady);
  EndLocked(error);
}

bool StreamRecord::DeliverNext(bool* ready) {
  Scheduler::ResultCallback callback;  // destroyed after the lock is released, as is `next`
  Delivery next;
  std::unique_lock lock(mutex_);
  if (delivering_ || deliveries_.empty()) return false;
  next = std::move(deliveries_.front());
  deliveries_.erase(deliveries_.begin());
  held_ -= next.result.num_frames;
  delivering_ = true;
  deliverer_ = std::this_thread::get_id();

  lock.unlock();
  on_result_(next.result);
  lock.lock();

  delivering_ = false;
  if (closed_within_callback_) callback.swap(on_result_);
  if (closed_) delivered_.notify_all();
  *ready = BecomeReady();
  lock.unlock();
  return true;
}

bool StreamRecord::BecomeReady() {
  const size_t undelivered = deliveries_.size() + (delivering_ ? 1 : 0);
  if (phase_ != Phase::kIdle || closed_ || queue_.empty() || undelivered > 1) return false;
  phase_ = Phase::kReady;
  deadline_ = queue_.front_time() + target_latency_;
  return true;
}

void StreamRecord::EndLocked(const absl::Status& error) {
  phase_ = Phase::kEnded;
  error_ = error;
  if (closed_) return;
  deliveries_.push_back({});
  deliveries_.back().result.first_frame = next_frame_;
  deliveries_.back().result.status = error;
}

}  // namespace ese
