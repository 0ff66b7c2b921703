// SPDX-License-Identifier: Apache-2.0
#include "accel/batch_worker.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"

namespace ese {

BatchWorker::BatchWorker(std::string channel_name, const char* thread_name, Execute execute)
    : channel_name_(std::move(channel_name)),
      execute_(std::move(execute)),
      thread_([this, thread_name] { Work(thread_name); }) {}

BatchWorker::~BatchWorker() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  has_work_.NotifyOne();
  thread_.join();
}

absl::Status BatchWorker::Submit(std::unique_ptr<Batch>* batch, Channel::Completion done) {
  const MutexLock lock(mutex_);
  if (busy_ || stopping_) {
    return absl::UnavailableError(
        absl::StrCat("channel ", channel_name_, stopping_ ? " is stopping" : " is busy"));
  }
  busy_ = true;
  batch_ = std::move(*batch);
  done_ = std::move(done);
  has_work_.NotifyOne();
  return absl::OkStatus();
}

void BatchWorker::Work(const char* thread_name) {
  pthread_setname_np(pthread_self(), thread_name);
  while (true) {
    std::unique_ptr<Batch> batch;
    Channel::Completion done;
    {
      const MutexLock lock(mutex_);
      while (batch_ == nullptr && !stopping_) has_work_.Wait(mutex_);
      if (batch_ == nullptr) return;
      batch = std::move(batch_);
      done = std::move(done_);
    }
    const TimePoint start = Clock::Real()->Now();
    batch->compute_time = Duration(0);
    absl::Status status = execute_(batch.get());
    if (batch->compute_time == Duration(0)) batch->compute_time = Clock::Real()->Now() - start;
    {
      const MutexLock lock(mutex_);
      busy_ = false;
    }
    done(std::move(batch), std::move(status));
  }
}

}  // namespace ese
