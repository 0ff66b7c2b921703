#include "client/fake_server.h"

#include <algorithm>
#include <chrono>
#include <list>
#include <utility>

#include "absl/strings/str_cat.h"
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
  using Stream = grpc::ServerReaderWriter<v1::StreamingInferResponse, v1::StreamingInferRequest>;

  Service(FakeScript script, std::vector<v1::Model> models)
      : script_(std::move(script)), models_(std::move(models)) {}

  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest*,
                          v1::ListModelsResponse* response) override {
    for (const v1::Model& model : models_) *response->add_models() = model;
    return grpc::Status::OK;
  }

  grpc::Status StreamingInfer(grpc::ServerContext*, Stream* stream) override {
    v1::StreamingInferRequest request;
    if (!stream->Read(&request) || !request.has_config()) {
      return {grpc::StatusCode::FAILED_PRECONDITION, "config first"};
    }
    if (!script_.refusal.ok()) return script_.refusal;
    Call& call = NewCall(request.config());
    v1::StreamingInferResponse response;
    *response.mutable_model() = ModelOf(request.config());
    stream->Write(response);
    int64_t frames = 0;
    for (int64_t chunk = 0; stream->Read(&request); ++chunk) {
      const int64_t total = Note(call, request.chunk());
      if (chunk == script_.fail_after_chunks) return script_.failure;
      if (script_.silent_after_chunks >= 0 && chunk >= script_.silent_after_chunks) continue;
      response = Answer(chunk, frames, total);
      frames = total;
      stream->Write(response);
    }
    NoteHalfClose(call);
    if (script_.hang_at_end) AwaitStop();
    if (script_.silent_after_chunks < 0 && !script_.forget_final) {
      stream->Write(FinalAnswer(call, frames));
    }
    return grpc::Status::OK;
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
  const v1::Model& ModelOf(const v1::StreamingConfig& config) const {
    const auto named = [&](const v1::Model& model) { return model.name() == config.model(); };
    const auto at = std::find_if(models_.begin(), models_.end(), named);
    return at == models_.end() ? models_.front() : *at;
  }

  Call& NewCall(const v1::StreamingConfig& config) {
    std::lock_guard<std::mutex> lock(mutex_);
    calls_.emplace_back();
    calls_.back().config = config;
    return calls_.back();
  }

  // Returns the number of frames that the call's content completes.
  int64_t Note(Call& call, const std::string& chunk) {
    std::lock_guard<std::mutex> lock(mutex_);
    call.content += chunk;
    ++call.chunks;
    ++chunks_;
    changed_.notify_all();
    const auto bytes = static_cast<int64_t>(call.content.size());
    if (call.config.has_features()) return bytes / (4 * ModelOf(call.config).input_dim());
    const int64_t samples = bytes / 2;  // windows of 400 every 160, three a frame
    return samples < 400 ? 0 : ((samples - 400) / 160 + 1) / 3;
  }

  void NoteHalfClose(Call& call) {
    std::lock_guard<std::mutex> lock(mutex_);
    call.half_closed = true;
  }

  void AwaitStop() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return stopped_; });
  }

  void AddUnit(size_t number, v1::StreamingInferResponse* response) const {
    v1::RecognizedUnit* unit = response->add_units();
    unit->set_symbol(script_.units[number]);
    unit->set_frame(static_cast<int64_t>(number));
    unit->set_start_seconds(0.03 * static_cast<double>(number));
  }

  v1::StreamingInferResponse Answer(int64_t chunk, int64_t first_frame, int64_t end_frame) const {
    v1::StreamingInferResponse response;
    response.set_first_frame(first_frame);
    response.set_num_frames(static_cast<int32_t>(end_frame - first_frame));
    response.set_chunks_done(chunk + 1);
    if (chunk < static_cast<int64_t>(script_.units.size())) AddUnit(chunk, &response);
    return response;
  }

  v1::StreamingInferResponse FinalAnswer(const Call& call, int64_t frames) const {
    v1::StreamingInferResponse response;
    response.set_first_frame(frames);
    response.set_chunks_done(call.chunks);
    for (size_t i = call.chunks; i < script_.units.size(); ++i) AddUnit(i, &response);
    response.set_is_final(true);
    return response;
  }

  const FakeScript script_;
  const std::vector<v1::Model> models_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int64_t chunks_ = 0;
  bool stopped_ = false;
  std::list<Call> calls_;  // its elements stay where they are
};

FakeServer::FakeServer(FakeScript script, std::vector<v1::Model> models)
    : service_(std::make_unique<Service>(std::move(script), std::move(models))) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
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
