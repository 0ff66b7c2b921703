// SPDX-License-Identifier: Apache-2.0
#include "load/tally.h"

#include "base/retry_after.h"

namespace ese {

void LoadTally::MeasureBetween(TimePoint from, TimePoint to) {
  to_ = to;
  from_ = from;
}

void LoadTally::NoteAccepted() {
  MutexLock lock(mutex_);
  ++accepted_;
  changed_.NotifyAll();
}

void LoadTally::NoteEnd(bool accepted, const absl::Status& status) {
  MutexLock lock(mutex_);
  ++ended_;
  if (!accepted) ++never_accepted_;
  if (status.ok()) {
    ++completed_;
  } else if (!accepted && absl::IsUnavailable(status) && RetryAfter(status)) {
    refused_.Add(status);
  } else {
    errors_[absl::StatusCodeToString(status.code())].Add(status);
  }
  changed_.NotifyAll();
}

bool LoadTally::AwaitAccepted(int streams, TimePoint deadline) {
  MutexLock lock(mutex_);
  while (accepted_ + never_accepted_ < streams) {
    if (!changed_.WaitUntil(mutex_, deadline)) return accepted_ + never_accepted_ >= streams;
  }
  return true;
}

bool LoadTally::AwaitEnded(int streams, TimePoint deadline) {
  MutexLock lock(mutex_);
  while (ended_ < streams) {
    if (!changed_.WaitUntil(mutex_, deadline)) return ended_ >= streams;
  }
  return true;
}

int LoadTally::accepted() const {
  MutexLock lock(mutex_);
  return accepted_;
}

int LoadTally::ended() const {
  MutexLock lock(mutex_);
  return ended_;
}

int LoadTally::completed() const {
  MutexLock lock(mutex_);
  return completed_;
}

LoadTally::Errors LoadTally::refused() const {
  MutexLock lock(mutex_);
  return refused_;
}

std::map<std::string, LoadTally::Errors> LoadTally::errors() const {
  MutexLock lock(mutex_);
  return errors_;
}

}  // namespace ese
