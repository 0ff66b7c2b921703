// SPDX-License-Identifier: Apache-2.0
#include "client/resume_cursor.h"

#include <utility>

#include "base/status.h"

namespace ese {

void ResumeCursor::BeginCall(int64_t first_chunk) {
  ledger_.BeginCall(checkpoint_frames_, first_chunk);
  news_ = false;
}

absl::StatusOr<ResumeCursor::Answer> ResumeCursor::Accept(v1::StreamingInferResponse* response) {
  v1::Checkpoint checkpoint;
  checkpoint.Swap(response->mutable_checkpoint());
  response->clear_checkpoint();
  Answer answer;
  answer.acceptance = !ledger_.call_accepted();
  ESE_ASSIGN_OR_RETURN(answer.shown, ledger_.Accept(response));
  news_ = news_ || answer.shown || checkpoint.frames() > checkpoint_frames_;
  if (!checkpoint.token().empty()) {
    answer.checkpoint = true;
    checkpoint_frames_ = checkpoint.frames();
    checkpoint_bytes_ = checkpoint.content_bytes();
    config_.set_resume_token(std::move(*checkpoint.mutable_token()));
  }
  return answer;
}

ReconnectPolicy::Progress ResumeCursor::progress() const {
  if (news_) return ReconnectPolicy::Progress::kNews;
  return ledger_.ever_accepted() ? ReconnectPolicy::Progress::kNothing
                                 : ReconnectPolicy::Progress::kNone;
}

}  // namespace ese
