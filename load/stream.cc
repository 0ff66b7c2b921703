// SPDX-License-Identifier: Apache-2.0
#include "load/stream.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "client/seconds.h"

namespace ese {

void AnswerHash::Add(const v1::StreamingInferResponse& response) {
  const std::string& bytes = response.log_posteriors();
  const int64_t frames = response.num_frames();
  if (frames == 0) return;
  const size_t values = bytes.size() / sizeof(uint32_t) / frames;
  const char* at = bytes.data();
  for (int64_t frame = 0; frame < frames; ++frame) {
    for (size_t i = 0; i < values; ++i, at += sizeof(uint32_t)) {  // FNV-1a, four bytes at a time
      uint32_t bits;
      std::memcpy(&bits, at, sizeof(bits));
      value_ = (value_ ^ bits) * 1099511628211u;
    }
    if (keeps_all_) values_.push_back(value_);
  }
  frames_ += frames;
}

namespace {

v1::StreamingConfig ConfigOf(const LoadEnvironment& environment) {
  const LoadBehaviour& behaviour = environment.behaviour;
  v1::StreamingConfig config = environment.source.config();
  config.set_tenant(behaviour.tenant);
  config.set_priority(behaviour.priority);
  config.set_return_units(behaviour.return_units);
  config.set_return_posteriors(behaviour.return_posteriors);
  config.set_checkpoint_every_frames(behaviour.checkpoint_every_frames);
  return config;
}

}  // namespace

LoadStream::LoadStream(int number, Duration phase, const LoadEnvironment* environment)
    : number_(number),
      phase_(phase),
      environment_(*environment),
      behaviour_(environment->behaviour),
      cursor_(ConfigOf(*environment)),
      hash_(behaviour_.keeps_hashes),
      policy_(environment->connections.servers(),
              static_cast<size_t>(number) % environment->connections.servers(),
              behaviour_.reconnect, static_cast<uint32_t>(number)) {}

void LoadStream::Open() {
  if (ended_) return;
  const auto chunk_bytes = static_cast<int64_t>(environment_.source.chunk_bytes());
  sent_ = cursor_.checkpoint_bytes() / chunk_bytes;
  cursor_.BeginCall(sent_);
  half_closed_ = false;
  auto connection = environment_.connections.Get(policy_.server(), number_);
  if (!connection.ok()) return AfterCall(connection.status());
  call_ = std::make_unique<LoadCall>(*std::move(connection), &environment_.queue, this);
  v1::StreamingInferRequest request;
  *request.mutable_config() = cursor_.config();
  call_->Start(std::move(request));
}

bool LoadStream::Due(TimePoint scheduled) {
  const bool limited = behaviour_.max_chunks > 0 && due_ >= behaviour_.max_chunks;
  if (ended_ || finishing_ || limited) return false;
  AddDue(scheduled);
  Pump();
  return true;
}

void LoadStream::BeginToSpeak(TimePoint from) {
  if (behaviour_.flat_out) {
    flat_out_ = true;
    Pump();
  } else {
    environment_.timers.Add({from + phase_, this, LoadTimers::Kind::kDue});
  }
}

void LoadStream::Finish() {
  finishing_ = true;
  Pump();
}

void LoadStream::GiveUpUnlessAccepted(Duration timeout) {
  if (ended_ || cursor_.ledger().ever_accepted()) return;
  GiveUp(absl::StrCat("not accepted within ", ToSeconds(timeout), " s; given up"));
}

void LoadStream::CheckStalled(TimePoint now, Duration timeout) {
  if (ended_ || unanswered_.empty() || now - unanswered_.front() <= timeout) return;
  GiveUp(absl::StrCat("no answer for ", ToSeconds(timeout), " s; given up"));
}

void LoadStream::GiveUp(const std::string& reason) {
  if (ended_) return;
  if (failure_.ok()) failure_ = absl::DeadlineExceededError(reason);
  if (call_) {
    call_->Cancel();
  } else {
    End(failure_);
  }
}

void LoadStream::AddDue(TimePoint scheduled) {
  unanswered_.push_back(scheduled);
  ++due_;
  if (environment_.tally.Measures(scheduled)) ++environment_.tally.chunks_due;
}

void LoadStream::Pump() {
  if (!call_ || !call_->writable() || half_closed_) return;
  const bool limited = behaviour_.max_chunks > 0 && due_ >= behaviour_.max_chunks;
  if (limited && behaviour_.ends_at_max) finishing_ = true;
  if (flat_out_ && !finishing_ && !limited &&
      unanswered_.size() < static_cast<size_t>(behaviour_.window)) {
    AddDue(environment_.clock.Now());
  }
  if (sent_ < due_) {
    absl::string_view chunk = environment_.source.Chunk(number_, sent_);
    const auto sent_bytes = sent_ * static_cast<int64_t>(chunk.size());
    // A checkpoint may lie within a chunk; the part before it is not sent again.
    const int64_t skipped = cursor_.checkpoint_bytes() - sent_bytes;
    if (skipped > 0) chunk.remove_prefix(skipped);
    request_.mutable_chunk()->assign(chunk.data(), chunk.size());
    ++sent_;
    most_sent_ = std::max(most_sent_, sent_);
    call_->Write(request_);
  } else if (finishing_) {
    half_closed_ = true;
    call_->WritesDone();
  }
}

void LoadStream::OnAnswer(v1::StreamingInferResponse* response) {
  if (!failure_.ok()) return;
  const absl::StatusOr<ResumeCursor::Answer> answer = cursor_.Accept(response);
  if (!answer.ok()) {
    failure_ = answer.status();
    call_->Cancel();
    return;
  }
  if (answer->acceptance) NoteAcceptance();
  if (answer->shown) {
    hash_.Add(*response);
    NoteChunks(*response);
  }
  Pump();
}

void LoadStream::NoteAcceptance() {
  LoadTally& tally = environment_.tally;
  if (!broken_at_) return tally.NoteAccepted();
  ++tally.resumed;
  tally.resume.Record(environment_.clock.Now() - *broken_at_);
  broken_at_.reset();
}

void LoadStream::NoteChunks(const v1::StreamingInferResponse& response) {
  LoadTally& tally = environment_.tally;
  const TimePoint now = environment_.clock.Now();
  if (tally.Measures(now)) tally.frames += response.num_frames();
  // Never count more chunks than were sent, whatever the server claims.
  const int64_t done = std::min(cursor_.ledger().chunks(), most_sent_);
  for (; answered_ < done; ++answered_) {
    const TimePoint due = unanswered_.front();
    unanswered_.pop_front();
    if (!tally.Measures(due)) continue;
    ++tally.chunks_answered;
    const Duration latency = now - due;
    const Duration queue = FromSeconds(response.queue_seconds());
    const Duration compute = FromSeconds(response.compute_seconds());
    tally.latency.Record(latency);
    tally.queue.Record(queue);
    tally.compute.Record(compute);
    tally.rest.Record(latency - queue - compute);
  }
}

void LoadStream::OnEnd(const absl::Status& status) {
  call_.reset();
  AfterCall(status);
}

void LoadStream::AfterCall(const absl::Status& status) {
  if (!failure_.ok()) return End(failure_);
  if (cursor_.ledger().is_final() && unanswered_.empty()) return End(absl::OkStatus());
  if (status.ok()) {
    return End(absl::InternalError("the server ended a call without answering all chunks"));
  }
  if (!behaviour_.resumes) return End(status);
  const TimePoint now = environment_.clock.Now();
  const absl::StatusOr<Duration> wait = policy_.Next(status, cursor_.progress(), now);
  if (!wait.ok()) return End(wait.status());
  if (cursor_.ledger().ever_accepted() && !broken_at_) {
    broken_at_ = now;
    ++environment_.tally.breaks;
  }
  environment_.timers.Add({now + *wait, this, LoadTimers::Kind::kOpen});
}

void LoadStream::End(const absl::Status& status) {
  ended_ = true;
  --environment_.live;
  LoadTally& tally = environment_.tally;
  const TimePoint now = environment_.clock.Now();
  for (const TimePoint due : unanswered_) {
    if (tally.Measures(due)) tally.latency.Record(now - due);
  }
  unanswered_.clear();
  tally.NoteEnd(cursor_.ledger().ever_accepted(), status);
}

}  // namespace ese
