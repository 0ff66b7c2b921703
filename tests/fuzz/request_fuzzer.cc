// SPDX-License-Identifier: Apache-2.0
// The input is the sequence of requests of a stream. This exercises the messages, the session's
// config, chunks and checkpoints, and the flow of frames and answers, without gRPC and the
// scheduler. Frames are answered at once, with logits made from their own bytes.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fake_clock.h"
#include "model/testing.h"
#include "server/stream_flow.h"
#include "server/stream_session.h"
#include "tests/fuzz/mutation.h"

namespace ese {
namespace {

constexpr int kWindow = 8;  // frames

ModelCatalog::ServedPtr Serve(const std::string& name, bool audio) {
  ModelDraft draft = RandomModelDraft({.inputs = 6, .layers = {{.cells = 3}}, .units = 3});
  draft.name = name;
  draft.blank = audio ? 0 : -1;
  if (audio) {
    draft.features.sample_rate_hz = 1000;
    draft.features.num_mel_bins = 3;
    draft.features.stack = 2;
  }
  auto served = std::make_shared<ServedModel>();
  served->model = *Model::FromBytes(*SerializeModel(draft));
  served->fbank = *FbankTablesOf(*served->model);
  return served;
}

const ModelCatalog& Catalog() {
  static const auto* const kCatalog = [] {
    auto* catalog = new ModelCatalog(new FakeClock, Duration(0));
    catalog->Publish(Serve("audio", true));
    catalog->Publish(Serve("plain", false));
    return catalog;
  }();
  return *kCatalog;
}

// Does what server/stream_call.h does with a scheduler that answers at once.
class Stream {
 public:
  // Returns false if the stream ends.
  bool Read(const v1::StreamingInferRequest& request) {
    switch (request.request_case()) {
      case v1::StreamingInferRequest::kConfig:
        return !session_ && Open(request.config());
      case v1::StreamingInferRequest::kChunk:
        return session_ && AddChunk(request.chunk());
      case v1::StreamingInferRequest::kCheckpoint:
        if (session_) flow_->RequestCheckpoint();
        break;
      case v1::StreamingInferRequest::REQUEST_NOT_SET:
        return false;
    }
    if (!session_) return false;
    Answer();
    return true;
  }

  void End() {
    if (!session_) return;
    flow_->EndInput();
    Answer();
  }

 private:
  bool Open(const v1::StreamingConfig& config) {
    std::optional<StreamCheckpoint> resume;
    if (!config.resume_token().empty()) resume = Resumed(config);
    auto session = StreamSession::Create(Catalog(), config, resume ? &*resume : nullptr);
    if (!session.ok()) return false;
    session_ = *std::move(session);
    const Model& model = *session_->served().model;
    StreamFlow::Options options;
    options.frame_bytes = model.input_columns();
    options.window = kWindow;
    options.first_frame = resume ? resume->frame : 0;
    options.checkpoint_every = config.checkpoint_every_frames();
    flow_.emplace(options, v1::StreamingInferResponse());
    Answer();
    return true;
  }

  // Makes a checkpoint from the token's bytes. checkpoint_fuzzer.cc has real tokens.
  static StreamCheckpoint Resumed(const v1::StreamingConfig& config) {
    const std::string& token = config.resume_token();
    StreamCheckpoint resume;
    const auto found = Catalog().Find(config.model());
    if (found.ok()) resume.model_fingerprint = (*found)->model->fingerprint();
    if (found.ok() && token[0] % 4 != 0) resume.state = StreamState(*(*found)->model);
    std::memcpy(&resume.frame, token.data(), std::min(sizeof(resume.frame), token.size()));
    resume.frame &= kMaxCheckpointFrame - 1;  // CheckpointSealer::Open refuses larger ones
    resume.input = static_cast<InputKind>(static_cast<uint8_t>(token.back()) % 3);
    resume.posteriors = config.return_posteriors();
    resume.units = config.return_units();
    resume.last_unit = static_cast<int8_t>(token[token.size() / 2]);
    return resume;
  }

  bool AddChunk(const std::string& chunk) {
    std::vector<int8_t> frames;
    if (!flow_->WantsChunk() || !session_->ReadChunk(chunk, &frames).ok()) return false;
    flow_->AddChunk(std::move(frames), TimePoint());
    Answer();
    return true;
  }

  // Computes frames and writes responses until there is nothing left to do.
  void Answer() {
    const Model& model = *session_->served().model;
    while (true) {
      if (flow_->CheckpointDue()) {
        const StreamCheckpoint saved =
            session_->CheckpointAt(flow_->frames_answered(), 1, StreamState(model));
        v1::Checkpoint checkpoint;
        checkpoint.set_frames(saved.frame);
        checkpoint.set_content_bytes(session_->ContentBytesBefore(saved.frame));
        flow_->AddCheckpoint(std::move(checkpoint));
      }
      const auto frames = flow_->NextFrames(kWindow);
      if (!frames.empty()) Compute(model, frames);
      if (flow_->TakeResponse()) {
        flow_->Written();
      } else if (frames.empty()) {
        return;
      }
    }
  }

  void Compute(const Model& model, absl::Span<const int8_t> frames) {
    StreamResult result;
    result.first_frame = flow_->frames_answered();
    result.num_frames = static_cast<int>(frames.size()) / model.input_columns();
    std::vector<int32_t> logits(size_t(result.num_frames) * model.num_units());
    for (size_t k = 0; k < logits.size(); ++k) logits[k] = frames[k % frames.size()] << 16;
    result.logits = logits;
    flow_->Pushed(frames);
    flow_->AddAnswer(session_->Answer(result));
  }

  std::unique_ptr<StreamSession> session_;
  std::optional<StreamFlow> flow_;
};

}  // namespace
}  // namespace ese

// The data hold one message after another, each preceded by its size in one byte.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ese::Stream stream;
  absl::string_view rest = ese::AsText(data, size);
  while (!rest.empty()) {
    const absl::string_view message = rest.substr(1, static_cast<uint8_t>(rest[0]));
    rest.remove_prefix(1 + message.size());
    ese::v1::StreamingInferRequest request;
    if (!request.ParseFromArray(message.data(), static_cast<int>(message.size()))) return 0;
    if (!stream.Read(request)) return 0;
  }
  stream.End();
  return 0;
}
