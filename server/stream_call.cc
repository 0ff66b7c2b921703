#include "server/stream_call.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/retry_after.h"
#include "base/status.h"
#include "grpcpp/impl/codegen/proto_utils.h"

namespace ese {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

void SendRetryHint(const absl::Status& status, grpc::CallbackServerContext* context) {
  const auto after = status.ok() ? std::nullopt : RetryAfter(status);
  if (!after) return;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*after).count();
  context->AddTrailingMetadata("retry-after-ms", absl::StrCat(ms));
}

StreamCall::StreamCall(grpc::CallbackServerContext* context, const StreamEnvironment& environment,
                       std::function<void(StreamCall*)> on_done)
    : context_(context), environment_(environment), on_done_(std::move(on_done)) {}

template <typename Event>
void StreamCall::Serialize(Event event) {
  const auto self = shared_from_this();  // OnDone may come while the serializer still runs
  serializer_.Run([this, event = std::move(event)]() mutable {
    if (finished_) return;
    event();
    Advance();
  });
}

void StreamCall::Start() {
  Serialize([this] { Read(); });
}

void StreamCall::Abort(const absl::Status& status) {
  Serialize([this, status] { Fail(status); });
}

void StreamCall::HandOver(const absl::Status& status, bool anyway) {
  Serialize([this, status, anyway] {
    if (!flow_) return Fail(status);  // nothing is lost
    if (!hand_over_.ok() || (!anyway && (!resumable_ || flow_->input_ended()))) return;
    hand_over_ = status;
    flow_->HandOver();
  });
}

void StreamCall::OnReadDone(bool ok) {
  reads_started_.load(std::memory_order_acquire);
  if (!ok) {
    Serialize([this] {
      reading_ = false;
      // A call that broke off ends its reads, too; OnCancel says so, perhaps later.
      if (context_->IsCancelled()) {
        Fail(WhyCancelled());
      } else if (!flow_) {
        Fail(absl::FailedPreconditionError(
            "the call ended before its config; send a request with config first"));
      } else {
        flow_->EndInput();
      }
    });
    return;
  }
  const absl::Status status = ReadRequest();
  if (!status.ok()) Abort(status);
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
  StreamOptions options{.tenant = config.tenant(), .priority = config.priority()};
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
  Serialize([this, resumable = resume || flow.checkpoint_every > 0, flow, claim = std::move(claim),
             stream = std::move(stream), greeting = std::move(greeting)]() mutable {
    reading_ = false;
    if (!error_.ok()) return;
    claim_.emplace(*std::move(claim));
    stream_ = std::move(stream);
    resumable_ = resumable;
    flow_.emplace(flow, std::move(greeting));
  });
  return absl::OkStatus();
}

absl::Status StreamCall::RequestCheckpoint() {
  if (!session_) {
    return absl::FailedPreconditionError(
        "a request for a checkpoint came before the config; send a request with config first");
  }
  Serialize([this] {
    reading_ = false;
    resumable_ = true;
    if (error_.ok()) flow_->RequestCheckpoint();
  });
  return absl::OkStatus();
}

absl::Status StreamCall::ReadChunk(const std::string& chunk) {
  if (!session_) {
    return absl::FailedPreconditionError(
        "a chunk came before the config; send a request with config first");
  }
  const TimePoint arrival = environment_.clock->Now();
  std::vector<int8_t> frames;
  ESE_RETURN_IF_ERROR(session_->ReadChunk(chunk, &frames));
  Serialize([this, arrival, frames = std::move(frames)]() mutable {
    reading_ = false;
    if (error_.ok()) flow_->AddChunk(std::move(frames), arrival);
  });
  return absl::OkStatus();
}

void StreamCall::OnResult(const StreamResult& result) {
  if (!result.status.ok()) {
    Serialize([this, status = result.status] {
      hand_over_ = status;
      flow_->HandOverUnanswered();
    });
    return;
  }
  Serialize([this, answer = session_->Answer(result)]() mutable {
    if (error_.ok()) flow_->AddAnswer(std::move(answer));
  });
}

void StreamCall::OnWriteDone(bool ok) {
  Serialize([this, ok] {
    writing_ = false;
    if (flow_) flow_->Written();
    if (!ok) Fail(absl::CancelledError("the client is gone"));
  });
}

void StreamCall::OnCancel() { Abort(WhyCancelled()); }

absl::Status StreamCall::WhyCancelled() const {
  return std::chrono::system_clock::now() >= context_->deadline()
             ? absl::DeadlineExceededError("the call's deadline has passed")
             : absl::CancelledError("the call was cancelled");
}

void StreamCall::OnDone() { on_done_(this); }

void StreamCall::Fail(const absl::Status& status) {
  if (!error_.ok()) return;
  error_ = status;
  FreePlace();
}

void StreamCall::FreePlace() {
  claim_.reset();
  stream_.reset();
}

void StreamCall::Advance() {
  if (error_.ok() && flow_) PushFrames();
  if (error_.ok() && flow_ && flow_->CheckpointDue()) {
    AddCheckpoint();
    PushFrames();  // those that it held back
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
  reads_started_.fetch_add(1, std::memory_order_release);
  StartRead(&request_);
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
  const auto frames = flow_->NextFrames(stream_->room());
  if (frames.empty()) return;
  // An error is that of a stream which has just ended; it comes as a result, after those before it.
  if (stream_->Push(frames).ok()) flow_->Pushed(frames);
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
  StartWrite(&response_);
}

void StreamCall::FinishWith(const absl::Status& status, bool send_last_response) {
  FreePlace();  // before gRPC may let the call go: no result comes after this
  finished_ = true;
  environment_.metrics->StreamEnded(static_cast<grpc::StatusCode>(status.code()));
  SendRetryHint(status, context_);
  if (send_last_response) {
    StartWriteAndFinish(&response_, grpc::WriteOptions(), ToGrpcStatus(status));
  } else {
    Finish(ToGrpcStatus(status));
  }
}

}  // namespace ese
