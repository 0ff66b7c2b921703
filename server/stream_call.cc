// SPDX-License-Identifier: Apache-2.0
#include "server/stream_call.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "grpcpp/impl/codegen/proto_utils.h"

namespace ese {

StreamCall::StreamCall(RpcCall* rpc, const StreamEnvironment* environment,
                       std::function<void(StreamCall*)> on_done)
    : loop_(rpc->loop()),
      rpc_(rpc),
      environment_(*environment),
      on_done_(std::move(on_done)),
      lifetime_(&environment_.lifetime, environment_.clock->Now()) {}

template <typename Event>
void StreamCall::Post(Event event) {
  loop_->Post([self = shared_from_this(), event = std::move(event)]() mutable {
    if (self->finished_) return;
    event();
    self->Advance();
  });
}

void StreamCall::Abort(const absl::Status& status) {
  Post([this, status] { Fail(status); });
}

void StreamCall::HandOver(const absl::Status& status, bool anyway) {
  Post([this, status, anyway] {
    if (!flow_) return Fail(status);  // nothing is lost
    if (!hand_over_.ok() || (!anyway && (!resumable_ || flow_->input_ended()))) return;
    hand_over_ = status;
    flow_->HandOver();
    LeaveSoon();
  });
}

void StreamCall::OnStart() {
  rpc_->SetTimer(lifetime_.NextLook());
  Read();
}

void StreamCall::OnTimer() {
  if (leaving_) return rpc_->Cancel();
  switch (lifetime_.Judge(environment_.clock->Now())) {
    case StreamLifetime::Verdict::kLives:
      return rpc_->SetTimer(lifetime_.NextLook());
    case StreamLifetime::Verdict::kNoConfig:
      Fail(absl::DeadlineExceededError(absl::StrCat("no config came within ",
                                                    ToSeconds(environment_.lifetime.config_timeout),
                                                    " s; send it at once")));
      break;
    case StreamLifetime::Verdict::kIdle:
      hand_over_ = absl::DeadlineExceededError(
          absl::StrCat("the stream was idle for ", ToSeconds(environment_.lifetime.idle_timeout),
                       " s; go on from its checkpoint when there is content again"));
      flow_->HandOver();
      break;
    case StreamLifetime::Verdict::kOld:
      hand_over_ = absl::UnavailableError(
          absl::StrCat("the stream is ", ToSeconds(environment_.lifetime.max_age),
                       " s old; go on from its checkpoint, here or on another replica"));
      flow_->HandOver();
      break;
  }
  LeaveSoon();
  Advance();
}

void StreamCall::LeaveSoon() {
  if (std::exchange(leaving_, true)) return;
  rpc_->SetTimer(environment_.clock->Now() + environment_.lifetime.leave_time);
}

void StreamCall::OnReadDone(bool ok) {
  reading_ = false;
  lifetime_.Active(environment_.clock->Now());
  if (finished_) return;
  if (!error_.ok()) {
    request_.Clear();
  } else if (ok) {
    const absl::Status status = ReadRequest();
    request_.Clear();  // an idle stream should hold no memory of its last chunk
    if (!status.ok()) Fail(status);
  } else if (!flow_) {
    Fail(absl::FailedPreconditionError(
        "the call ended before its config; send a request with config first"));
  } else {
    flow_->EndInput();
  }
  Advance();
}

void StreamCall::OnWriteDone(bool ok) {
  writing_ = false;
  response_.Clear();
  lifetime_.Active(environment_.clock->Now());
  if (finished_) return;
  if (flow_) flow_->Written();
  if (!ok) Fail(absl::CancelledError("the client is gone"));
  Advance();
}

void StreamCall::OnCancel() {
  if (finished_) return;
  Fail(rpc_->WhyCancelled());
  Advance();
}

void StreamCall::OnDone() {
  // A cancel looks like the end of the content until gRPC tells it.
  const absl::Status how =
      ended_with_.ok() && rpc_->IsCancelled() ? rpc_->WhyCancelled() : ended_with_;
  environment_.metrics->StreamEnded(static_cast<grpc::StatusCode>(how.code()));
  on_done_(this);
}

void StreamCall::OnResult(const StreamResult& result) {
  if (!result.status.ok()) {
    Post([this, status = result.status] {
      hand_over_ = status;
      flow_->HandOverUnanswered();
      LeaveSoon();
    });
    return;
  }
  Post([this, result = result,
        logits = std::vector<int32_t>(result.logits.begin(), result.logits.end())]() mutable {
    if (!error_.ok()) return;
    result.logits = logits;
    flow_->AddAnswer(session_->Answer(result));
  });
}

absl::Status StreamCall::ReadRequest() {
  v1::StreamingInferRequest request;
  const bool parsed =
      grpc::SerializationTraits<v1::StreamingInferRequest>::Deserialize(&request_, &request).ok();
  if (!parsed) {
    return absl::InvalidArgumentError("a message is not an ese.v1.StreamingInferRequest");
  }
  switch (request.request_case()) {
    case v1::StreamingInferRequest::kConfig:
      return OpenStream(request.config());
    case v1::StreamingInferRequest::kChunk:
      return ReadChunk(request.chunk());
    case v1::StreamingInferRequest::kCheckpoint:
      return RequestCheckpoint();
    case v1::StreamingInferRequest::REQUEST_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "a request has neither config nor chunk nor checkpoint; set one");
}

absl::Status StreamCall::OpenStream(const v1::StreamingConfig& config) {
  if (session_) {
    return absl::FailedPreconditionError(
        "a second config; a call is one stream, so begin another call");
  }
  std::optional<StreamCheckpoint> resume;
  if (!config.resume_token().empty()) {
    ESE_ASSIGN_OR_RETURN(resume, environment_.signer->Open(config.resume_token(), UnixNow(),
                                                           environment_.checkpoint_max_age));
  }
  ESE_ASSIGN_OR_RETURN(
      session_, StreamSession::Create(*environment_.catalog, config, resume ? &*resume : nullptr));
  auto claim = environment_.stream_ids->TryClaim(resume ? resume->stream_id : RandomStreamId());
  if (!claim) {
    return absl::AlreadyExistsError(
        "the stream of resume_token is open here already; end that call first");
  }
  const ServedModel& served = session_->served();
  StreamOptions options{
      .tenant = config.tenant(), .priority = config.priority(), .upstream_wait = loop_->Delay()};
  if (resume) {
    options.first_frame = resume->frame;
    options.initial_state = std::move(resume->state);
  }
  StreamFlow::Options flow{.frame_bytes = static_cast<size_t>(served.model->input_dim()),
                           .first_frame = options.first_frame,
                           .checkpoint_every = config.checkpoint_every_frames()};
  ESE_ASSIGN_OR_RETURN(
      auto stream,
      served.scheduler->Open(std::move(options), [this](const StreamResult& r) { OnResult(r); }));
  // The scheduler's bound on the frames of a stream that are not computed is the window's, too.
  flow.window = stream->room();
  v1::StreamingInferResponse greeting;
  *greeting.mutable_model() = Describe(*served.model);
  claim_.emplace(*std::move(claim));
  stream_ = std::move(stream);
  resumable_ = resume || flow.checkpoint_every > 0;
  flow_.emplace(flow, std::move(greeting));
  lifetime_.ConfigCame();
  rpc_->SetTimer(lifetime_.NextLook());
  return absl::OkStatus();
}

absl::Status StreamCall::RequestCheckpoint() {
  if (!flow_) {
    return absl::FailedPreconditionError(
        "a request for a checkpoint came before the config; send a request with config first");
  }
  resumable_ = true;
  flow_->RequestCheckpoint();
  return absl::OkStatus();
}

absl::Status StreamCall::ReadChunk(const std::string& chunk) {
  if (!flow_) {
    return absl::FailedPreconditionError(
        "a chunk came before the config; send a request with config first");
  }
  const TimePoint arrival = environment_.clock->Now();
  std::vector<int8_t> frames;
  ESE_RETURN_IF_ERROR(session_->ReadChunk(chunk, &frames));
  flow_->AddChunk(std::move(frames), arrival);
  return absl::OkStatus();
}

void StreamCall::Fail(const absl::Status& status) {
  if (!error_.ok()) return;
  error_ = status;
  FreePlace();
  LeaveSoon();
}

void StreamCall::FreePlace() {
  claim_.reset();
  stream_.reset();
}

void StreamCall::Advance() {
  if (error_.ok() && flow_) PushFrames();
  if (error_.ok() && flow_ && flow_->CheckpointDue()) {
    AddCheckpoint();
    if (error_.ok()) PushFrames();  // those that it held back
  }
  if (!writing_) {
    if (!error_.ok()) return FinishWith(error_, /*send_last_response=*/false);
    auto response = flow_ ? flow_->TakeResponse() : std::nullopt;
    if (response) Write(*std::move(response));
    if (flow_ && flow_->HandedOver()) return FinishWith(hand_over_, /*send_last_response=*/false);
  }
  if (!finished_ && error_.ok() && !reading_ && flow_ && flow_->WantsChunk()) {
    Read();
  }
}

void StreamCall::Read() {
  reading_ = true;
  rpc_->Read(&request_);
}

void StreamCall::AddCheckpoint() {
  StreamSnapshot snapshot = stream_->Snapshot();
  if (snapshot.frame != flow_->frames_answered()) {
    return Fail(absl::InternalError(absl::StrCat("the scheduler is at frame ", snapshot.frame,
                                                 ", but frame ", flow_->frames_answered(),
                                                 " is to be saved")));
  }
  const StreamCheckpoint saved =
      session_->CheckpointAt(snapshot.frame, claim_->id(), std::move(snapshot.state));
  v1::Checkpoint checkpoint;
  checkpoint.set_token(environment_.signer->Sign(saved, UnixNow()));
  checkpoint.set_frames(saved.frame);
  checkpoint.set_content_bytes(session_->ContentBytesBefore(saved.frame));
  flow_->AddCheckpoint(std::move(checkpoint));
}

void StreamCall::PushFrames() {
  for (;;) {
    const auto frames = flow_->NextFrames(stream_->room());
    if (frames.empty()) return;
    const absl::Status status = stream_->Push(frames);
    if (status.ok()) return flow_->Pushed(frames);
    // Other streams have filled the room meanwhile: there is always some for a stream without
    // frames. Any other error is that of a stream which has just ended; it comes as a result, after
    // those before it.
    if (status.code() != absl::StatusCode::kResourceExhausted) return;
  }
}

void StreamCall::Write(OutgoingResponse response) {
  response_.Clear();
  bool own_buffer = false;
  const grpc::Status serialized = grpc::SerializationTraits<v1::StreamingInferResponse>::Serialize(
      response.message, &response_, &own_buffer);
  if (!serialized.ok()) {
    Fail(absl::InternalError(
        absl::StrCat("a response cannot be serialised: ", serialized.error_message())));
    return FinishWith(error_, /*send_last_response=*/false);
  }
  const TimePoint now = environment_.clock->Now();
  for (const TimePoint arrival : response.chunk_arrivals) {
    environment_.metrics->ChunkAnswered(now - arrival);
  }
  if (response.message.is_final()) {
    return FinishWith(absl::OkStatus(), /*send_last_response=*/true);
  }
  writing_ = true;
  rpc_->Write(response_);
}

void StreamCall::FinishWith(const absl::Status& status, bool send_last_response) {
  FreePlace();  // before gRPC may let the call go: no result comes after this
  finished_ = true;
  ended_with_ = status;
  LeaveSoon();
  if (send_last_response) {
    rpc_->WriteAndFinish(response_);
  } else {
    rpc_->Finish(status);
  }
}

}  // namespace ese
