#include "server/speech_service.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/retry_after.h"

namespace ese {
namespace {

// Streams last for seconds to hours: a place becomes free within about this time.
constexpr std::chrono::seconds kRetryAfter{1};

// A call that is not admitted.
class RefusedCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  RefusedCall(const absl::Status& status, grpc::CallbackServerContext* context) {
    SendRetryHint(status, context);
    Finish(ToGrpcStatus(status));
  }

 private:
  void OnDone() override { delete this; }
};

}  // namespace

SpeechService::SpeechService(const StreamEnvironment& environment, int max_calls)
    : environment_(environment), max_calls_(max_calls) {}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* SpeechService::StreamingInfer(
    grpc::CallbackServerContext* context) {
  auto call = std::make_shared<StreamCall>(context, environment_,
                                           [this](StreamCall* done) { Remove(done); });
  const absl::Status status = Admit(call);
  if (!status.ok()) {
    environment_.metrics->StreamEnded(static_cast<grpc::StatusCode>(status.code()));
    return new RefusedCall(status, context);
  }
  call->Start();
  return call.get();
}

grpc::ServerUnaryReactor* SpeechService::ListModels(grpc::CallbackServerContext* context,
                                                    const v1::ListModelsRequest*,
                                                    v1::ListModelsResponse* response) {
  for (const ServedModel& served : environment_.catalog->models()) {
    *response->add_models() = Describe(*served.model);
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

void SpeechService::RefuseNewStreams() {
  const std::lock_guard lock(mutex_);
  refusing_ = true;
}

bool SpeechService::WaitUntilIdle(Duration limit) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, limit, [this] { return calls_.empty(); });
}

void SpeechService::HandOverAll(const absl::Status& status, bool anyway) {
  for (const auto& call : OpenCalls()) call->HandOver(status, anyway);
}

void SpeechService::AbortAll(const absl::Status& status) {
  for (const auto& call : OpenCalls()) call->Abort(status);
}

std::vector<std::shared_ptr<StreamCall>> SpeechService::OpenCalls() {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<StreamCall>> open;
  open.reserve(calls_.size());
  for (const auto& [raw, call] : calls_) open.push_back(call);
  return open;
}

absl::Status SpeechService::Admit(std::shared_ptr<StreamCall> call) {
  const std::lock_guard lock(mutex_);
  if (refusing_) {
    return absl::UnavailableError("this server is shutting down; try another replica");
  }
  if (static_cast<int>(calls_.size()) >= max_calls_) {
    absl::Status status = absl::UnavailableError(
        absl::StrCat("all ", max_calls_,
                     " streams of this server are in use; try again later, or another replica "
                     "(--max-streams)"));
    SetRetryAfter(kRetryAfter, &status);
    return status;
  }
  StreamCall* const raw = call.get();
  calls_.emplace(raw, std::move(call));
  return absl::OkStatus();
}

void SpeechService::Remove(StreamCall* call) {
  std::shared_ptr<StreamCall> last;  // freed without the lock
  const std::lock_guard lock(mutex_);
  const auto found = calls_.find(call);
  last = std::move(found->second);
  calls_.erase(found);
  if (calls_.empty()) idle_.notify_all();
}

}  // namespace ese
