// SPDX-License-Identifier: Apache-2.0
#include "load/tally.h"

#include "base/retry_after.h"

namespace ese {

void LoadTally::MeasureBetween(TimePoint from, TimePoint to) {
  to_ = to;
  from_ = from;
}

void LoadTally::NoteAccepted() {
  std::lock_guard<std::mutex> lock(mutex_);
  ++accepted_;
  changed_.notify_all();
}

void LoadTally::NoteEnd(bool accepted, const absl::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++ended_;
  if (!accepted) ++never_accepted_;
  if (status.ok()) {
    ++completed_;
  } else if (!accepted && absl::IsUnavailable(status) && RetryAfter(status)) {
    refused_.Add(status);
  } else {
    errors_[absl::StatusCodeToString(status.code())].Add(status);
  }
  changed_.notify_all();
}

bool LoadTally::AwaitAccepted(int streams, TimePoint deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_until(lock, deadline,
                             [&] { return accepted_ + never_accepted_ >= streams; });
}

bool LoadTally::AwaitEnded(int streams, TimePoint deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return ended_ >= streams; });
}

int LoadTally::accepted() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return accepted_;
}

int LoadTally::ended() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return ended_;
}

int LoadTally::completed() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return completed_;
}

LoadTally::Errors LoadTally::refused() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return refused_;
}

std::map<std::string, LoadTally::Errors> LoadTally::errors() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return errors_;
}

}  // namespace ese
