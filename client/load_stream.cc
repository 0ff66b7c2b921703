#include "client/load_stream.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ese {

void LoadTally::NoteAccepted() {
  std::lock_guard<std::mutex> lock(mutex_);
  ++accepted_;
  changed_.notify_all();
}

void LoadTally::NoteEnd(bool accepted, const grpc::Status& status) {
  std::lock_guard<std::mutex> lock(mutex_);
  ++ended_;
  if (!accepted) ++refused_;
  if (status.ok()) {
    ++completed_;
  } else {
    Errors& errors =
        errors_[absl::StatusCodeToString(static_cast<absl::StatusCode>(status.error_code()))];
    if (errors.count++ == 0) errors.example = status.error_message();
  }
  changed_.notify_all();
}

bool LoadTally::AwaitAccepted(int streams, TimePoint deadline) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_until(lock, deadline, [&] { return accepted_ + refused_ >= streams; });
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

std::map<std::string, LoadTally::Errors> LoadTally::errors() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return errors_;
}

LoadStream::LoadStream(int number, const LoadSource* source, LoadTally* tally, const Clock* clock)
    : number_(number), source_(*source), tally_(*tally), clock_(*clock) {}

void LoadStream::Open(v1::SpeechInference::Stub& stub) {
  Lock lock(mutex_);
  stub.async()->StreamingInfer(&context_, this);
  // The pacer starts writes, until the reading side ends.
  AddHold();
  *request_.mutable_config() = source_.config();
  request_.mutable_config()->set_return_units(false);
  write_busy_ = true;
  StartWrite(&request_);
  StartRead(&response_);
  StartCall();
}

void LoadStream::Due(TimePoint scheduled) {
  Lock lock(mutex_);
  if (closed_) return;
  AddDue(scheduled);
  Pump();
}

void LoadStream::RunFlatOut(int window) {
  Lock lock(mutex_);
  window_ = window;
  Pump();
}

void LoadStream::Finish() {
  Lock lock(mutex_);
  finishing_ = true;
  Pump();
}

void LoadStream::GiveUpUnlessAccepted(Duration timeout) {
  {
    Lock lock(mutex_);
    if (closed_ || accepted_) return;
  }
  GiveUp(absl::StrCat("not accepted within ", ToSeconds(timeout), " s; given up"));
}

void LoadStream::CheckStalled(TimePoint now, Duration timeout) {
  {
    Lock lock(mutex_);
    if (closed_ || unanswered_.empty() || now - unanswered_.front() <= timeout) return;
  }
  GiveUp(absl::StrCat("no answer for ", ToSeconds(timeout), " s; given up"));
}

void LoadStream::GiveUp(const std::string& reason) {
  {
    Lock lock(mutex_);
    if (given_up_.empty()) given_up_ = reason;
  }
  context_.TryCancel();
}

void LoadStream::AddDue(TimePoint scheduled) {
  unanswered_.push_back(scheduled);
  ++unsent_;
  tally_.chunks_due.fetch_add(1, std::memory_order_relaxed);
}

void LoadStream::Pump() {
  if (closed_ || write_busy_ || half_closed_) return;
  if (window_ > 0 && !finishing_ && unanswered_.size() < static_cast<size_t>(window_)) {
    AddDue(clock_.Now());
  }
  if (unsent_ > 0) {
    source_.Fill(number_, sent_, request_.mutable_chunk());
    --unsent_;
    ++sent_;
    write_busy_ = true;
    StartWrite(&request_);
  } else if (finishing_) {
    half_closed_ = true;
    StartWritesDone();
  }
}

void LoadStream::OnReadDone(bool ok) {
  if (!ok) {
    {
      Lock lock(mutex_);
      closed_ = true;
    }
    RemoveHold();
    return;
  }
  const TimePoint now = clock_.Now();
  Lock lock(mutex_);
  if (!accepted_) {
    accepted_ = true;
    tally_.NoteAccepted();
  }
  // Never more than were sent, whatever the server says.
  const int64_t done = std::min(response_.chunks_done(), sent_);
  for (; answered_ < done; ++answered_) {
    tally_.latency.Record(now - unanswered_.front());
    unanswered_.pop_front();
    tally_.chunks_answered.fetch_add(1, std::memory_order_relaxed);
  }
  tally_.frames.fetch_add(response_.num_frames(), std::memory_order_relaxed);
  final_ = final_ || response_.is_final();
  StartRead(&response_);
  Pump();
}

void LoadStream::OnWriteDone(bool /*ok*/) {
  // Of a failed write the reading side tells the reason.
  Lock lock(mutex_);
  write_busy_ = false;
  Pump();
}

void LoadStream::OnDone(const grpc::Status& status) {
  grpc::Status outcome = status;
  {
    Lock lock(mutex_);
    const TimePoint now = clock_.Now();
    for (const TimePoint due : unanswered_) tally_.latency.Record(now - due);
    if (status.ok() && !(final_ && unanswered_.empty())) {
      outcome = {grpc::StatusCode::INTERNAL, "the server ended a call with chunks unanswered"};
    } else if (!status.ok() && !given_up_.empty()) {
      outcome = {grpc::StatusCode::DEADLINE_EXCEEDED, given_up_};
    }
  }
  // After the last stream's NoteEnd the streams may be freed: nothing of this one is touched then.
  tally_.NoteEnd(accepted_, outcome);
}

}  // namespace ese
