// SPDX-License-Identifier: Apache-2.0
#include "server/stream_flow.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

namespace ese {
namespace {

// Answers that wait for a slow reader are merged into responses of about this size. This keeps the
// number of messages small, and each message far below the 4 MiB that gRPC clients accept by
// default.
constexpr size_t kMergeBytes = 64 << 10;

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

bool MayGrow(const v1::StreamingInferResponse& message) {
  return !message.has_model() && !message.has_checkpoint() &&
         message.log_posteriors().size() < kMergeBytes;
}

void Merge(const v1::StreamingInferResponse& answer, v1::StreamingInferResponse* into) {
  into->set_num_frames(into->num_frames() + answer.num_frames());
  into->mutable_log_posteriors()->append(answer.log_posteriors());
  into->mutable_units()->MergeFrom(answer.units());
  into->set_queue_seconds(std::max(into->queue_seconds(), answer.queue_seconds()));
  into->set_compute_seconds(into->compute_seconds() + answer.compute_seconds());
}

}  // namespace

StreamFlow::StreamFlow(const Options& options, v1::StreamingInferResponse greeting)
    : options_(options),
      periodic_checkpoint_(
          options.checkpoint_every > 0 ? options.first_frame + options.checkpoint_every : kNever),
      frames_received_(options.first_frame),
      frames_pushed_(options.first_frame),
      frames_answered_(options.first_frame),
      frames_written_(options.first_frame) {
  assert(options.frame_bytes >= 1 && options.window >= 1 && options.checkpoint_every >= 0);
  greeting.set_first_frame(options.first_frame);
  AddUnsent(std::move(greeting));
}

bool StreamFlow::WantsChunk() const {
  return !input_ended_ && !handing_over_ && unpushed_.empty() && !request_pending_ &&
         chunks_received_ - chunks_written_ < options_.window;
}

void StreamFlow::AddChunk(std::vector<int8_t> frames, TimePoint arrival) {
  if (handing_over_) return;
  assert(WantsChunk() && frames.size() % options_.frame_bytes == 0);
  unpushed_ = std::move(frames);
  frames_received_ += static_cast<int64_t>(unpushed_.size() / options_.frame_bytes);
  ++chunks_received_;
  open_chunks_.push_back({frames_received_, arrival});
  ReportAnsweredChunks();
}

void StreamFlow::EndInput() { input_ended_ = true; }

void StreamFlow::RequestCheckpoint() {
  if (handing_over_) return;
  assert(WantsChunk());
  requested_checkpoint_ = frames_received_;
  request_pending_ = true;
}

void StreamFlow::HandOver() {
  handing_over_ = true;
  unpushed_ = {};
  pushed_bytes_ = 0;
  requested_checkpoint_ = frames_pushed_;
}

void StreamFlow::EndAnswers() {
  assert(handing_over_);
  requested_checkpoint_ = frames_answered_;
}

int64_t StreamFlow::CheckpointFrame() const {
  return std::min(requested_checkpoint_.value_or(kNever), periodic_checkpoint_);
}

void StreamFlow::AddCheckpoint(v1::Checkpoint checkpoint) {
  assert(CheckpointDue());
  *LastUnsent().message.mutable_checkpoint() = std::move(checkpoint);
  if (requested_checkpoint_ == frames_answered_) requested_checkpoint_.reset();
  if (options_.checkpoint_every > 0)
    periodic_checkpoint_ = frames_answered_ + options_.checkpoint_every;
}

absl::Span<const int8_t> StreamFlow::NextFrames(int room) const {
  const auto unwritten = frames_pushed_ - frames_written_;
  const auto frames = std::min({static_cast<int64_t>(room), options_.window - unwritten,
                                CheckpointFrame() - frames_pushed_});
  return absl::MakeConstSpan(unpushed_).subspan(
      pushed_bytes_, std::max<int64_t>(0, frames) * options_.frame_bytes);
}

void StreamFlow::Pushed(absl::Span<const int8_t> frames) {
  frames_pushed_ += static_cast<int64_t>(frames.size() / options_.frame_bytes);
  pushed_bytes_ += frames.size();
  if (pushed_bytes_ < unpushed_.size()) return;
  unpushed_ = {};  // an idle stream should not keep its last chunk in memory
  pushed_bytes_ = 0;
}

void StreamFlow::AddAnswer(v1::StreamingInferResponse answer) {
  assert(answer.first_frame() == frames_answered_);
  frames_answered_ += answer.num_frames();
  if (!unsent_.empty() && MayGrow(unsent_.back().message)) {
    Merge(answer, &unsent_.back().message);
  } else {
    AddUnsent(std::move(answer));
  }
  ReportAnsweredChunks();
}

std::optional<OutgoingResponse> StreamFlow::TakeResponse() {
  if (unsent_.empty() && input_ended_ && !handing_over_ && AllAnswered() && !final_taken_) {
    v1::StreamingInferResponse last;
    last.set_first_frame(frames_answered_);
    last.set_is_final(true);
    AddUnsent(std::move(last));
    final_taken_ = true;
  }
  if (unsent_.empty()) return std::nullopt;
  OutgoingResponse next = std::move(unsent_.front());
  unsent_.pop_front();
  writing_ = true;
  frames_in_write_ = next.message.num_frames();
  checkpoint_in_write_ = next.message.has_checkpoint();
  chunks_in_write_ = static_cast<int64_t>(next.chunk_arrivals.size());
  return next;
}

void StreamFlow::Written() {
  writing_ = false;
  if (std::exchange(checkpoint_in_write_, false) && !requested_checkpoint_)
    request_pending_ = false;
  frames_written_ += std::exchange(frames_in_write_, 0);
  chunks_written_ += std::exchange(chunks_in_write_, 0);
}

OutgoingResponse& StreamFlow::AddUnsent(v1::StreamingInferResponse message) {
  message.set_chunks_done(chunks_done_);
  return unsent_.emplace_back(OutgoingResponse{std::move(message), {}});
}

OutgoingResponse& StreamFlow::LastUnsent() {
  if (!unsent_.empty() && !unsent_.back().message.has_model()) return unsent_.back();
  v1::StreamingInferResponse empty;
  empty.set_first_frame(frames_answered_);
  return AddUnsent(std::move(empty));
}

void StreamFlow::ReportAnsweredChunks() {
  while (!open_chunks_.empty() && open_chunks_.front().end_frame <= frames_answered_) {
    OutgoingResponse& last = LastUnsent();
    last.chunk_arrivals.push_back(open_chunks_.front().arrival);
    last.message.set_chunks_done(++chunks_done_);
    open_chunks_.pop_front();
  }
}

bool StreamFlow::AllWritten() const { return unsent_.empty() && !writing_; }

bool StreamFlow::AllAnswered() const { return unpushed_.empty() && open_chunks_.empty(); }

}  // namespace ese
