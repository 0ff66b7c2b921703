// SPDX-License-Identifier: Apache-2.0
#include "client/fake_server.h"

#include <algorithm>
#include <chrono>
#include <list>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"

namespace ese {

v1::Model FakeModel() {
  v1::Model model;
  model.set_name("fake");
  model.set_fingerprint("0123456789abcdef0123456789abcdef");
  model.set_input_dim(24);
  for (const char* unit : {"<blank>", "K", "AE", "T"}) model.add_units(unit);
  model.set_blank(0);
  v1::FeatureSettings* features = model.mutable_features();
  features->set_sample_rate_hz(16000);
  features->set_frame_length_ms(25);
  features->set_frame_shift_ms(10);
  features->set_num_mel_bins(8);
  features->set_low_freq_hz(20);
  features->set_preemphasis(0.97f);
  features->set_stack(3);
  return model;
}

class FakeServer::Service final : public v1::SpeechInference::Service {
 public:
  class Session;

  Service(FakeScript script, std::vector<v1::Model> models)
      : script_(std::move(script)), models_(std::move(models)) {}

  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest*,
                          v1::ListModelsResponse* response) override {
    if (grpc::Status status = Authenticate(*context); !status.ok()) return status;
    for (const v1::Model& model : models_) *response->add_models() = model;
    return grpc::Status::OK;
  }

  grpc::Status StreamingInfer(grpc::ServerContext* context,
                              grpc::ServerReaderWriter<v1::StreamingInferResponse,
                                                       v1::StreamingInferRequest>* stream) override;

  grpc::Status Authenticate(const grpc::ServerContext& context) const {
    if (script_.bearer.empty()) return grpc::Status::OK;
    const auto header = context.client_metadata().find("authorization");
    if (header != context.client_metadata().end() &&
        header->second == absl::StrCat("Bearer ", script_.bearer)) {
      return grpc::Status::OK;
    }
    return {grpc::StatusCode::UNAUTHENTICATED, "unknown token"};
  }

  void AwaitChunks(int64_t chunks) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return chunks_ >= chunks; });
  }

  void NoteStop() {
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

  std::vector<Call> calls() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return {calls_.begin(), calls_.end()};
  }

 private:
  struct State;

  const v1::Model& ModelOf(const v1::StreamingConfig& config) const {
    const auto named = [&](const v1::Model& model) { return model.name() == config.model(); };
    const auto at = std::find_if(models_.begin(), models_.end(), named);
    return at == models_.end() ? models_.front() : *at;
  }

  grpc::Status Refusal() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return drains_ ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "draining") : script_.refusal;
  }

  grpc::Status Drain() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      drains_ = true;
    }
    return Refusal();
  }

  Call* NewCall(const v1::StreamingConfig& config, int64_t* number) {
    std::lock_guard<std::mutex> lock(mutex_);
    *number = static_cast<int64_t>(calls_.size());
    calls_.emplace_back();
    calls_.back().config = config;
    return &calls_.back();
  }

  void Note(Call& call, const std::string& chunk) {
    std::lock_guard<std::mutex> lock(mutex_);
    call.content += chunk;
    ++call.chunks;
    ++chunks_;
    changed_.notify_all();
  }

  void NoteHalfClose(Call& call) {
    std::lock_guard<std::mutex> lock(mutex_);
    call.half_closed = true;
  }

  void AwaitStop() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return stopped_; });
  }

  const FakeScript script_;
  const std::vector<v1::Model> models_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int64_t chunks_ = 0;
  bool stopped_ = false;
  bool drains_ = false;
  std::list<Call> calls_;  // its elements stay where they are
};

// The state of a stream, which a token holds.
struct FakeServer::Service::State {
  int64_t frames = 0;
  int64_t bytes = 0;                      // of content that these frames used up
  uint64_t hash = 14695981039346656037u;  // of these bytes; FNV-1a

  std::string Token(const std::string& key) const {
    return absl::StrJoin({key, absl::StrCat(frames), absl::StrCat(bytes), absl::StrCat(hash)}, ":");
  }
  bool Parse(const std::string& token, const std::string& key) {
    const std::vector<std::string> fields = absl::StrSplit(token, ':');
    return fields.size() == 4 && fields[0] == key && absl::SimpleAtoi(fields[1], &frames) &&
           absl::SimpleAtoi(fields[2], &bytes) && absl::SimpleAtoi(fields[3], &hash);
  }
};

// One call.
class FakeServer::Service::Session {
 public:
  using Stream = grpc::ServerReaderWriter<v1::StreamingInferResponse, v1::StreamingInferRequest>;

  Session(Service* service, grpc::ServerContext* context, Stream* stream)
      : service_(*service), script_(service->script_), context_(*context), stream_(*stream) {}

  grpc::Status Run() {
    if (grpc::Status status = service_.Authenticate(context_); !status.ok()) return status;
    v1::StreamingInferRequest request;
    if (!stream_.Read(&request) || !request.has_config()) {
      return {grpc::StatusCode::FAILED_PRECONDITION, "config first"};
    }
    config_ = request.config();
    model_ = service_.ModelOf(config_);
    if (grpc::Status status = Accept(); !status.ok()) return status;
    v1::StreamingInferResponse response;
    *response.mutable_model() = model_;
    response.set_first_frame(state_.frames);
    if (!Write(&response)) return script_.failure;
    int64_t chunks = 0;
    while (stream_.Read(&request)) {
      service_.Note(*call_, request.chunk());
      if (script_.silent_after_chunks >= 0 && chunks >= script_.silent_after_chunks) continue;
      response = Answer(request.chunk(), ++chunks);
      const bool drains = chunks == script_.drain_after_chunks;
      if (drains) AddCheckpoint(&response);
      if (!Write(&response)) return script_.failure;
      if (drains) return service_.Drain();
    }
    return Finish(chunks);
  }

 private:
  grpc::Status Accept() {
    if (grpc::Status refusal = service_.Refusal(); !refusal.ok()) {
      if (script_.retry_after_ms >= 0) {
        context_.AddTrailingMetadata("retry-after-ms", absl::StrCat(script_.retry_after_ms));
      }
      return refusal;
    }
    if (!config_.resume_token().empty() && !state_.Parse(config_.resume_token(), script_.key)) {
      return {grpc::StatusCode::PERMISSION_DENIED, "the token is not of this server's key"};
    }
    if (script_.forgets_state) state_.hash = State().hash;
    call_ = service_.NewCall(config_, &call_number_);
    return grpc::Status::OK;
  }

  // Returns false if the script says that the call fails instead.
  bool Write(v1::StreamingInferResponse* response) {
    if (Fails()) return false;
    ++responses_;
    stream_.Write(*response);
    return true;
  }

  bool Fails() const {
    return responses_ == script_.fail_at_response && call_number_ < script_.failing_calls;
  }

  grpc::Status Finish(int64_t chunks) {
    service_.NoteHalfClose(*call_);
    if (script_.hang_at_end) service_.AwaitStop();
    if (script_.silent_after_chunks < 0 && !script_.forget_final) {
      v1::StreamingInferResponse response;
      response.set_first_frame(state_.frames);
      response.set_chunks_done(chunks);
      for (size_t i = chunks; i < script_.units.size(); ++i) AddUnit(i, &response);
      response.set_is_final(true);
      if (!Write(&response) || Fails()) return script_.failure;
    }
    return grpc::Status::OK;
  }

  // Returns whether the pending bytes complete another frame. *shift is how many of them the frame
  // uses up.
  bool HasFrame(int64_t* shift) const {
    const auto bytes = static_cast<int64_t>(pending_.size());
    if (config_.has_features()) {
      *shift = 4 * model_.input_dim();
      return bytes >= *shift;
    }
    *shift = 2 * 480;  // three windows of 400 samples, one every 160
    return bytes >= 2 * (400 + 2 * 160);
  }

  v1::StreamingInferResponse Answer(const std::string& chunk, int64_t chunks) {
    v1::StreamingInferResponse response;
    response.set_first_frame(state_.frames);
    pending_ += chunk;
    for (int64_t shift = 0; HasFrame(&shift);) {
      for (const char c : pending_.substr(0, shift)) {
        state_.hash = (state_.hash ^ static_cast<uint8_t>(c)) * 1099511628211u;
      }
      pending_.erase(0, shift);
      state_.bytes += shift;
      ++state_.frames;
      if (config_.return_posteriors()) {
        response.mutable_log_posteriors()->append(reinterpret_cast<const char*>(&state_.hash),
                                                  sizeof(state_.hash));
      }
    }
    response.set_num_frames(static_cast<int32_t>(state_.frames - response.first_frame()));
    response.set_chunks_done(chunks);
    if (chunks <= static_cast<int64_t>(script_.units.size())) AddUnit(chunks - 1, &response);
    const int64_t every = config_.checkpoint_every_frames();
    if (every > 0 && response.first_frame() / every < state_.frames / every) {
      AddCheckpoint(&response);
    }
    return response;
  }

  void AddUnit(size_t number, v1::StreamingInferResponse* response) const {
    v1::RecognizedUnit* unit = response->add_units();
    unit->set_symbol(script_.units[number]);
    unit->set_frame(static_cast<int64_t>(number));
    unit->set_start_seconds(0.03 * static_cast<double>(number));
  }

  void AddCheckpoint(v1::StreamingInferResponse* response) const {
    if (!script_.checkpoints) return;
    response->mutable_checkpoint()->set_token(state_.Token(script_.key));
    response->mutable_checkpoint()->set_frames(state_.frames);
    response->mutable_checkpoint()->set_content_bytes(state_.bytes);
  }

  Service& service_;
  const FakeScript& script_;
  grpc::ServerContext& context_;
  Stream& stream_;
  v1::StreamingConfig config_;
  v1::Model model_;
  Call* call_ = nullptr;
  int64_t call_number_ = 0;
  int64_t responses_ = 0;
  State state_;
  std::string pending_;  // content of the next, incomplete frame
};

grpc::Status FakeServer::Service::StreamingInfer(grpc::ServerContext* context,
                                                 Session::Stream* stream) {
  return Session(this, context, stream).Run();
}

FakeServer::FakeServer(FakeScript script, std::vector<v1::Model> models,
                       const std::shared_ptr<grpc::ServerCredentials>& credentials)
    : service_(std::make_unique<Service>(std::move(script), std::move(models))) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", credentials, &port);
  builder.RegisterService(service_.get());
  server_ = builder.BuildAndStart();
  address_ = absl::StrCat("127.0.0.1:", port);
}

FakeServer::~FakeServer() { Stop(); }

void FakeServer::AwaitChunks(int64_t chunks) { service_->AwaitChunks(chunks); }

void FakeServer::Stop() {
  service_->NoteStop();
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
}

std::vector<FakeServer::Call> FakeServer::calls() const { return service_->calls(); }

std::string DeadAddress() {
  FakeServer server;
  return server.address();
}

}  // namespace ese
