// SPDX-License-Identifier: Apache-2.0
#include "client/answer_ledger.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {
namespace {

// Removes the first `count` frames and what belongs to them.
void DropFrames(int64_t count, v1::StreamingInferResponse* response) {
  const size_t frame_bytes = response->log_posteriors().size() / response->num_frames();
  response->mutable_log_posteriors()->erase(0, count * frame_bytes);
  response->set_first_frame(response->first_frame() + count);
  response->set_num_frames(static_cast<int32_t>(response->num_frames() - count));
  auto* units = response->mutable_units();
  const auto had = [&](const v1::RecognizedUnit& unit) {
    return unit.frame() < response->first_frame();
  };
  units->erase(std::remove_if(units->begin(), units->end(), had), units->end());
}

}  // namespace

void AnswerLedger::BeginCall(int64_t first_frame, int64_t first_chunk) {
  call_accepted_ = false;
  next_frame_ = first_frame;
  chunk_offset_ = first_chunk;
}

absl::Status AnswerLedger::Begin(const v1::StreamingInferResponse& response) {
  call_accepted_ = true;
  chunk_offset_ -= response.chunks_done();
  const v1::Model& model = response.model();
  if (ever_accepted_ && model.fingerprint() != fingerprint_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the stream began with the model of fingerprint ", fingerprint_, ", and the server has ",
        model.name(), " with ", model.fingerprint(), "; serve the same file on every replica"));
  }
  fingerprint_ = model.fingerprint();
  return absl::OkStatus();
}

absl::StatusOr<bool> AnswerLedger::Accept(v1::StreamingInferResponse* response) {
  bool news = !ever_accepted_;
  if (!call_accepted_) ESE_RETURN_IF_ERROR(Begin(*response));
  ever_accepted_ = true;
  if (response->num_frames() > 0) {
    if (response->first_frame() != next_frame_) {
      return absl::DataLossError(absl::StrCat("the server answered frame ", response->first_frame(),
                                              " where frame ", next_frame_,
                                              " was next; see its log"));
    }
    next_frame_ += response->num_frames();
    const int64_t had =
        std::min<int64_t>(frames_ - response->first_frame(), response->num_frames());
    if (had > 0) DropFrames(had, response);
    news = news || response->num_frames() > 0;
    frames_ = std::max(frames_, next_frame_);
  }
  const int64_t chunks = std::max(chunks_, chunk_offset_ + response->chunks_done());
  news = news || chunks > chunks_ || response->is_final();
  chunks_ = chunks;
  response->set_chunks_done(chunks);
  final_ = final_ || response->is_final();
  return news;
}

}  // namespace ese
