#include "server/stream_flow.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ese {
namespace {

// Answers that wait for a slow reader are merged into responses of about this size: few messages,
// each far below the 4 MiB that gRPC clients accept by default.
constexpr size_t kMergeBytes = 64 << 10;

bool MayGrow(const v1::StreamingInferResponse& message) {
  return !message.has_model() && message.log_posteriors().size() < kMergeBytes;
}

void Merge(v1::StreamingInferResponse answer, v1::StreamingInferResponse* into) {
  into->set_num_frames(into->num_frames() + answer.num_frames());
  into->mutable_log_posteriors()->append(answer.log_posteriors());
  into->mutable_units()->MergeFrom(answer.units());
  into->set_queue_seconds(std::max(into->queue_seconds(), answer.queue_seconds()));
  into->set_compute_seconds(into->compute_seconds() + answer.compute_seconds());
}

}  // namespace

StreamFlow::StreamFlow(size_t frame_bytes, int window, v1::StreamingInferResponse greeting)
    : frame_bytes_(frame_bytes), window_(window) {
  assert(frame_bytes >= 1 && window >= 1);
  AddUnsent(std::move(greeting));
}

bool StreamFlow::WantsChunk() const {
  return !input_ended_ && undelivered_.empty() && chunks_received_ - chunks_written_ < window_;
}

void StreamFlow::AddChunk(std::vector<int8_t> frames, TimePoint arrival) {
  assert(WantsChunk() && frames.size() % frame_bytes_ == 0);
  undelivered_ = std::move(frames);
  frames_received_ += static_cast<int64_t>(undelivered_.size() / frame_bytes_);
  ++chunks_received_;
  marks_.push_back({frames_received_, arrival});
  SettleChunks();
}

void StreamFlow::EndInput() { input_ended_ = true; }

absl::Span<const int8_t> StreamFlow::NextFrames(int room) const {
  const auto unwritten = frames_pushed_ - frames_written_;
  const auto frames = std::max<int64_t>(0, std::min<int64_t>(room, window_ - unwritten));
  return absl::MakeConstSpan(undelivered_).subspan(delivered_bytes_, frames * frame_bytes_);
}

void StreamFlow::Pushed(absl::Span<const int8_t> frames) {
  frames_pushed_ += static_cast<int64_t>(frames.size() / frame_bytes_);
  delivered_bytes_ += frames.size();
  if (delivered_bytes_ < undelivered_.size()) return;
  undelivered_ = {};  // a stream that is idle should hold no memory of its last chunk
  delivered_bytes_ = 0;
}

void StreamFlow::AddAnswer(v1::StreamingInferResponse answer) {
  assert(answer.first_frame() == frames_answered_);
  frames_answered_ += answer.num_frames();
  if (!unsent_.empty() && MayGrow(unsent_.back().message)) {
    Merge(std::move(answer), &unsent_.back().message);
  } else {
    AddUnsent(std::move(answer));
  }
  SettleChunks();
}

std::optional<OutgoingResponse> StreamFlow::TakeResponse() {
  if (unsent_.empty() && input_ended_ && AllAnswered() && !final_taken_) {
    v1::StreamingInferResponse last;
    last.set_first_frame(frames_answered_);
    last.set_is_final(true);
    AddUnsent(std::move(last));
    final_taken_ = true;
  }
  if (unsent_.empty()) return std::nullopt;
  OutgoingResponse next = std::move(unsent_.front());
  unsent_.pop_front();
  frames_in_write_ = next.message.num_frames();
  chunks_in_write_ = static_cast<int64_t>(next.chunk_arrivals.size());
  return next;
}

void StreamFlow::Written() {
  frames_written_ += std::exchange(frames_in_write_, 0);
  chunks_written_ += std::exchange(chunks_in_write_, 0);
}

OutgoingResponse& StreamFlow::AddUnsent(v1::StreamingInferResponse message) {
  message.set_chunks_done(chunks_done_);
  return unsent_.emplace_back(OutgoingResponse{std::move(message), {}});
}

void StreamFlow::SettleChunks() {
  while (!marks_.empty() && marks_.front().end_frame <= frames_answered_) {
    if (unsent_.empty() || unsent_.back().message.has_model()) {
      v1::StreamingInferResponse empty;  // the answer to chunks that completed no frame
      empty.set_first_frame(frames_answered_);
      AddUnsent(std::move(empty));
    }
    unsent_.back().chunk_arrivals.push_back(marks_.front().arrival);
    unsent_.back().message.set_chunks_done(++chunks_done_);
    marks_.pop_front();
  }
}

bool StreamFlow::AllAnswered() const { return undelivered_.empty() && marks_.empty(); }

}  // namespace ese
