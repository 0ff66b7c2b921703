// SPDX-License-Identifier: Apache-2.0
#include "server/stream_call.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "server/message_bytes.h"

namespace ese {

StreamCall::StreamCall(RpcCall* rpc, const StreamEnvironment* environment, Caller caller,
                       StreamCallOwner* owner)
    : loop_(rpc->loop()),
      rpc_(rpc),
      environment_(*environment),
      caller_(std::move(caller)),
      owner_(owner),
      lifetime_(&environment_.lifetime, environment_.clock->Now()) {}

template <typename Event>
void StreamCall::Post(Event event) {
  loop_->Post([self = shared_from_this(), event = std::move(event)]() mutable {
    if (self->phase_ == Phase::kFinished) return;
    event();
    self->Advance();
  });
}

void StreamCall::Abort(const absl::Status& status) {
  Post([this, status] { Fail(status); });
}

void StreamCall::HandOver(const absl::Status& status, HandOverScope scope) {
  Post([this, status, scope] {
    if (phase_ == Phase::kAwaitingConfig) return Fail(status);  // there is nothing to save
    if (phase_ != Phase::kStreaming) return;
    const bool resumable = stream_->client_uses_checkpoints && !stream_->flow.input_ended();
    if (scope == HandOverScope::kResumableStreams && !resumable) return;
    StartHandOver(status);
  });
}

void StreamCall::OnStart() {
  rpc_->SetTimer(lifetime_.NextCheck());
  Read();
}

void StreamCall::OnTimer() {
  if (phase_ != Phase::kAwaitingConfig && phase_ != Phase::kStreaming) return rpc_->Cancel();
  switch (lifetime_.Check(environment_.clock->Now())) {
    case StreamLifetime::Verdict::kAlive:
      return rpc_->SetTimer(lifetime_.NextCheck());
    case StreamLifetime::Verdict::kConfigOverdue:
      Fail(absl::DeadlineExceededError(absl::StrCat("no config arrived within ",
                                                    ToSeconds(environment_.lifetime.config_timeout),
                                                    " s; send it as soon as the call starts")));
      break;
    case StreamLifetime::Verdict::kIdle:
      StartHandOver(absl::DeadlineExceededError(
          absl::StrCat("the stream was idle for ", ToSeconds(environment_.lifetime.idle_timeout),
                       " s; resume it from its checkpoint when there is more content")));
      break;
    case StreamLifetime::Verdict::kTooOld:
      StartHandOver(absl::UnavailableError(
          absl::StrCat("the stream is ", ToSeconds(environment_.lifetime.max_age),
                       " s old; resume it from its checkpoint, here or on another replica")));
      break;
  }
  Advance();
}

void StreamCall::OnReadDone(bool ok) {
  reading_ = false;
  lifetime_.NoteActivity(environment_.clock->Now());
  if (phase_ == Phase::kFinished) return;
  if (phase_ == Phase::kFailing) {
    request_.Clear();
  } else if (ok) {
    const absl::Status status = HandleRequest();
    request_.Clear();  // an idle stream should not keep its last chunk in memory
    if (!status.ok()) Fail(status);
  } else if (phase_ == Phase::kAwaitingConfig) {
    Fail(absl::FailedPreconditionError(
        "the call ended before its config arrived; send a request with config first"));
  } else {
    stream_->flow.EndInput();
  }
  Advance();
}

void StreamCall::OnWriteDone(bool ok) {
  writing_ = false;
  response_.Clear();
  lifetime_.NoteActivity(environment_.clock->Now());
  if (phase_ == Phase::kFinished) return;
  if (stream_) stream_->flow.Written();
  if (!ok) Fail(absl::CancelledError("the client has gone away"));
  Advance();
}

void StreamCall::OnCancel() {
  if (phase_ == Phase::kFinished) return;
  Fail(rpc_->WhyCancelled());
  Advance();
}

void StreamCall::OnDone() {
  // gRPC may report a cancelled call as the end of the content first and as cancelled only later.
  const bool cancelled = final_status_.ok() && rpc_->IsCancelled();
  const absl::Status status = cancelled ? rpc_->WhyCancelled() : final_status_;
  environment_.metrics->StreamEnded(static_cast<grpc::StatusCode>(status.code()));
  owner_->Remove(this);
}

void StreamCall::OnResult(const StreamResult& result) {
  if (!result.status.ok()) {
    Post([this, status = result.status] {
      if (phase_ == Phase::kFailing) return;
      StartHandOver(status);
      stream_->flow.EndAnswers();
    });
    return;
  }
  Post([this, result = result,
        logits = std::vector<int32_t>(result.logits.begin(), result.logits.end())]() mutable {
    if (phase_ == Phase::kFailing) return;
    result.logits = logits;
    stream_->flow.AddAnswer(stream_->session->Answer(result));
  });
}

absl::Status StreamCall::HandleRequest() {
  v1::StreamingInferRequest request;
  ESE_RETURN_IF_ERROR(ParseRequest(&request_, &request));
  switch (request.request_case()) {
    case v1::StreamingInferRequest::kConfig:
      return HandleConfig(request.config());
    case v1::StreamingInferRequest::kChunk:
      return HandleChunk(request.chunk());
    case v1::StreamingInferRequest::kCheckpoint:
      return HandleCheckpointRequest();
    case v1::StreamingInferRequest::REQUEST_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError(
      "a request has neither config nor chunk nor checkpoint; set one of them");
}

absl::Status StreamCall::HandleConfig(const v1::StreamingConfig& config) {
  if (phase_ != Phase::kAwaitingConfig) {
    return absl::FailedPreconditionError(
        "this is a second config, but a call carries only one stream; start another call");
  }
  ESE_ASSIGN_OR_RETURN(const std::string tenant, caller_.TenantFor(config.tenant()));
  rpc_->NoteUseful();
  ESE_RETURN_IF_ERROR(owner_->TakePlace(this));
  std::optional<StreamCheckpoint> resume;
  if (!config.resume_token().empty()) {
    ESE_ASSIGN_OR_RETURN(resume, environment_.sealer->Open(config.resume_token(), UnixNow(),
                                                           environment_.checkpoint_max_age));
    ESE_RETURN_IF_ERROR(caller_.CheckOwns(resume->tenant));
  }
  ESE_ASSIGN_OR_RETURN(
      std::unique_ptr<StreamSession> session,
      StreamSession::Create(*environment_.catalog, config, resume ? &*resume : nullptr));
  auto id_claim = environment_.stream_ids->TryClaim(resume ? resume->stream_id : RandomStreamId());
  if (!id_claim) {
    return absl::AlreadyExistsError(
        "the stream of resume_token is already open on this server; end that call first");
  }
  const ServedModel& served = session->served();
  StreamOptions options{
      .tenant = tenant, .priority = config.priority(), .upstream_wait = loop_->Delay()};
  if (resume) {
    options.first_frame = resume->frame;
    options.initial_state = std::move(resume->state);
  }
  StreamFlow::Options flow{.frame_bytes = static_cast<size_t>(served.model->input_columns()),
                           .first_frame = options.first_frame,
                           .checkpoint_every = config.checkpoint_every_frames()};
  ESE_ASSIGN_OR_RETURN(
      std::unique_ptr<Scheduler::Stream> scheduled,
      served.scheduler->Open(std::move(options), [this](const StreamResult& r) { OnResult(r); }));
  // The window is the number of uncomputed frames that the scheduler accepts from a stream.
  flow.window = scheduled->room();
  v1::StreamingInferResponse greeting;
  *greeting.mutable_model() = Describe(*served.model);
  StartStreaming({.session = std::move(session),
                  .flow = StreamFlow(flow, std::move(greeting)),
                  .scheduled = std::move(scheduled),
                  .id_claim = *std::move(id_claim),
                  .client_uses_checkpoints = resume || flow.checkpoint_every > 0});
  return absl::OkStatus();
}

absl::Status StreamCall::HandleChunk(const std::string& chunk) {
  if (phase_ == Phase::kAwaitingConfig) {
    return absl::FailedPreconditionError(
        "a chunk came before the config; send a request with config first");
  }
  const TimePoint arrival = environment_.clock->Now();
  std::vector<int8_t> frames;
  ESE_RETURN_IF_ERROR(stream_->session->ReadChunk(chunk, &frames));
  stream_->flow.AddChunk(std::move(frames), arrival);
  return absl::OkStatus();
}

absl::Status StreamCall::HandleCheckpointRequest() {
  if (phase_ == Phase::kAwaitingConfig) {
    return absl::FailedPreconditionError(
        "a request for a checkpoint came before the config; send a request with config first");
  }
  stream_->client_uses_checkpoints = true;
  stream_->flow.RequestCheckpoint();
  return absl::OkStatus();
}

void StreamCall::StartStreaming(ActiveStream stream) {
  phase_ = Phase::kStreaming;
  stream_.emplace(std::move(stream));
  lifetime_.NoteConfig();
  rpc_->SetTimer(lifetime_.NextCheck());
}

void StreamCall::StartHandOver(const absl::Status& status) {
  EnterEndingPhase(Phase::kHandingOver, status);
  stream_->flow.HandOver();
}

void StreamCall::Fail(const absl::Status& status) {
  if (phase_ == Phase::kFailing) return;
  EnterEndingPhase(Phase::kFailing, status);
  stream_.reset();
}

void StreamCall::Finish(const absl::Status& status) {
  EnterEndingPhase(Phase::kFinished, status);
  stream_.reset();  // no result may come once gRPC may destroy the call
  if (status.ok()) {
    rpc_->WriteAndFinish(response_);
  } else {
    rpc_->Finish(status);
  }
}

void StreamCall::EnterEndingPhase(Phase phase, const absl::Status& status) {
  if (phase_ == Phase::kAwaitingConfig || phase_ == Phase::kStreaming) {
    rpc_->SetTimer(environment_.clock->Now() + environment_.lifetime.leave_time);
  }
  phase_ = phase;
  final_status_ = status;
}

void StreamCall::Advance() {
  if (stream_) FeedScheduler();
  if (stream_ && !writing_) WriteNextResponse();
  if (phase_ == Phase::kFailing && !writing_) return Finish(final_status_);
  if (stream_ && !reading_ && stream_->flow.WantsChunk()) Read();
}

void StreamCall::Read() {
  reading_ = true;
  rpc_->Read(&request_);
}

void StreamCall::FeedScheduler() {
  PushFrames();
  if (!stream_->flow.CheckpointDue()) return;
  AddCheckpoint();
  if (stream_) PushFrames();  // the frames that waited for the checkpoint
}

void StreamCall::PushFrames() {
  for (;;) {
    const auto frames = stream_->flow.NextFrames(stream_->scheduled->room());
    if (frames.empty()) return;
    const absl::Status status = stream_->scheduled->Push(frames);
    if (status.ok()) return stream_->flow.Pushed(frames);
    // Either other streams have taken the room since, and the loop tries again: a stream without
    // queued frames always has some room. Or the stream has just ended with this error, which also
    // comes as a result, after the results before it.
    if (status.code() != absl::StatusCode::kResourceExhausted) return;
  }
}

void StreamCall::AddCheckpoint() {
  StreamFlow& flow = stream_->flow;
  StreamSnapshot snapshot = stream_->scheduled->Snapshot();
  if (snapshot.frame != flow.frames_answered()) {
    return Fail(absl::InternalError(absl::StrCat("the scheduler is at frame ", snapshot.frame,
                                                 ", but the checkpoint is due at frame ",
                                                 flow.frames_answered())));
  }
  const StreamSession& session = *stream_->session;
  StreamCheckpoint saved =
      session.CheckpointAt(snapshot.frame, stream_->id_claim.id(), std::move(snapshot.state));
  saved.tenant = caller_.tenant.value_or("");
  v1::Checkpoint checkpoint;
  checkpoint.set_token(environment_.sealer->Seal(saved, UnixNow()));
  checkpoint.set_frames(saved.frame);
  checkpoint.set_content_bytes(session.ContentBytesBefore(saved.frame));
  flow.AddCheckpoint(std::move(checkpoint));
}

void StreamCall::WriteNextResponse() {
  if (auto response = stream_->flow.TakeResponse()) {
    Write(*response);
  } else if (stream_->flow.HandedOver()) {
    Finish(final_status_);
  }
}

void StreamCall::Write(const OutgoingResponse& response) {
  auto bytes = SerializeResponse(response.message);
  if (!bytes.ok()) return Fail(bytes.status());
  response_ = *std::move(bytes);
  const TimePoint now = environment_.clock->Now();
  for (const TimePoint arrival : response.chunk_arrivals) {
    environment_.metrics->ChunkAnswered(now - arrival);
  }
  if (response.message.is_final()) return Finish(absl::OkStatus());
  writing_ = true;
  rpc_->Write(response_);
}

}  // namespace ese
