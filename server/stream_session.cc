// SPDX-License-Identifier: Apache-2.0
#include "server/stream_session.h"

#include <bit>
#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "features/model_features.h"
#include "model/log_softmax.h"

namespace ese {
namespace {

static_assert(std::endian::native == std::endian::little,
              "chunks and posteriors are little-endian and are copied without conversion");

// FeatureInput.INT16 means value = integer / 256.
constexpr float kInt16Scale = 1.0f / 256;

absl::Status CheckFeatures(const Model& model, const v1::FeatureInput& features) {
  if (features.encoding() != v1::FeatureInput::FLOAT32 &&
      features.encoding() != v1::FeatureInput::INT16) {
    return absl::InvalidArgumentError(absl::StrCat("config.features.encoding is ",
                                                   static_cast<int>(features.encoding()),
                                                   "; set FLOAT32 or INT16"));
  }
  if (features.dim() != 0 && static_cast<int>(features.dim()) != model.input_dim()) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.features.dim is ", features.dim(), ", but model \"", model.name,
                     "\" takes frames of ", model.input_dim(),
                     " values; send such frames, or choose another model"));
  }
  return absl::OkStatus();
}

absl::Status CheckAudio(const Model& model, const v1::AudioInput& audio) {
  const auto rate = static_cast<uint32_t>(model.features.sample_rate_hz);
  if (rate == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.audio is set, but model \"", model.name,
                     "\" takes features only; send features, or choose another model"));
  }
  if (audio.sample_rate_hz() != 0 && audio.sample_rate_hz() != rate) {
    return absl::InvalidArgumentError(absl::StrCat(
        "config.audio.sample_rate_hz is ", audio.sample_rate_hz(), ", but model \"", model.name,
        "\" takes ", rate, " Hz; resample the audio, or choose another model"));
  }
  return absl::OkStatus();
}

// Checks that the checkpoint belongs to a stream with this config. A signed checkpoint was made by
// a server of ours, but its sizes are checked in case somebody else has got hold of the key.
absl::Status CheckResumption(const Model& model, const v1::StreamingConfig& config, InputKind input,
                             const StreamCheckpoint& checkpoint) {
  if (input != checkpoint.input || config.return_posteriors() != checkpoint.posteriors ||
      config.return_units() != checkpoint.units) {
    return absl::InvalidArgumentError(
        "resume_token belongs to a stream with a different input, return_posteriors or "
        "return_units; send the config of that stream");
  }
  const bool fits = static_cast<int>(checkpoint.state.c.size()) == model.total_cells() &&
                    static_cast<int>(checkpoint.state.y.size()) == model.total_outputs() &&
                    checkpoint.last_unit >= 0 && checkpoint.last_unit < model.num_units();
  if (!fits) {
    return absl::InvalidArgumentError(
        "resume_token does not fit the model that it names; start a new stream");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<StreamSession>> StreamSession::Create(
    const ModelCatalog& catalog, const v1::StreamingConfig& config,
    const StreamCheckpoint* resume) {
  ESE_ASSIGN_OR_RETURN(std::shared_ptr<const ServedModel> served,
                       resume ? catalog.FindVersion(config.model(), resume->model_fingerprint)
                              : catalog.Find(config.model()));
  const Model& model = *served->model;
  InputKind input = InputKind::kAudio;
  switch (config.input_case()) {
    case v1::StreamingConfig::kAudio:
      ESE_RETURN_IF_ERROR(CheckAudio(model, config.audio()));
      break;
    case v1::StreamingConfig::kFeatures:
      ESE_RETURN_IF_ERROR(CheckFeatures(model, config.features()));
      input = config.features().encoding() == v1::FeatureInput::FLOAT32 ? InputKind::kFloat32
                                                                        : InputKind::kInt16;
      break;
    case v1::StreamingConfig::INPUT_NOT_SET:
      return absl::InvalidArgumentError("config has no input; set config.audio or config.features");
  }
  if (config.return_units() && model.blank < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.return_units is set, but model \"", model.name,
                     "\" has no CTC blank; ask for posteriors, or choose another model"));
  }
  if (resume) ESE_RETURN_IF_ERROR(CheckResumption(model, config, input, *resume));
  return std::unique_ptr<StreamSession>(
      new StreamSession(std::move(served), config, input, resume));
}

StreamSession::StreamSession(std::shared_ptr<const ServedModel> served,
                             const v1::StreamingConfig& config, InputKind input,
                             const StreamCheckpoint* resume)
    : served_(std::move(served)),
      input_(input),
      return_posteriors_(config.return_posteriors()),
      frames_read_(resume ? resume->frame : 0) {
  const Model& model = *served_->model;
  if (input == InputKind::kAudio) fbank_.emplace(served_->fbank);
  if (config.return_units()) {
    decoder_.emplace(model.num_units(), model.blank, frames_read_,
                     resume ? resume->last_unit : model.blank);
  }
}

absl::Status StreamSession::ReadChunk(absl::string_view chunk, std::vector<int8_t>* frames) {
  if (chunk.empty()) {
    return absl::InvalidArgumentError(
        "chunk is empty; send whole frames or samples, and half-close the call to end the stream");
  }
  ESE_ASSIGN_OR_RETURN(const std::vector<float> features,
                       input_ == InputKind::kAudio ? DecodeAudio(chunk) : DecodeFeatures(chunk));
  const Model& model = *served_->model;
  const size_t dim = model.input_dim();
  const size_t columns = model.input_columns();
  size_t to = frames->size();
  frames->resize(to + features.size() / dim * columns);
  for (size_t at = 0; at < features.size(); at += dim, to += columns, ++frames_read_) {
    const int bad = model.QuantizeFrame(features.data() + at, frames->data() + to);
    if (bad >= 0) {
      return absl::InvalidArgumentError(absl::StrCat("frame ", frames_read_, ", value ", bad,
                                                     " is ", features[at + bad],
                                                     "; features must be finite numbers"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> StreamSession::DecodeFeatures(absl::string_view chunk) const {
  const bool is_float = input_ == InputKind::kFloat32;
  const size_t dim = served_->model->input_dim();
  const size_t frame_bytes = dim * (is_float ? sizeof(float) : sizeof(int16_t));
  if (chunk.size() % frame_bytes != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "chunk of ", chunk.size(), " bytes is not a whole number of frames; a frame is ", dim,
        is_float ? " FLOAT32" : " INT16", " values, ", frame_bytes, " bytes"));
  }
  std::vector<float> features(chunk.size() / frame_bytes * dim);
  if (is_float) {
    std::memcpy(features.data(), chunk.data(), chunk.size());
    return features;
  }
  std::vector<int16_t> integers(features.size());
  std::memcpy(integers.data(), chunk.data(), chunk.size());
  for (size_t i = 0; i < features.size(); ++i) features[i] = integers[i] * kInt16Scale;
  return features;
}

absl::StatusOr<std::vector<float>> StreamSession::DecodeAudio(absl::string_view chunk) {
  if (chunk.size() % sizeof(int16_t) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("chunk of ", chunk.size(),
                     " bytes is not a whole number of samples; a sample is 2 bytes (LINEAR16)"));
  }
  std::vector<int16_t> samples(chunk.size() / sizeof(int16_t));
  std::memcpy(samples.data(), chunk.data(), chunk.size());
  std::vector<float> features;
  fbank_->Accept(samples, &features);
  return features;
}

StreamCheckpoint StreamSession::CheckpointAt(int64_t frame, StreamId id, StreamState state) const {
  StreamCheckpoint checkpoint;
  checkpoint.model_fingerprint = served_->model->fingerprint();
  checkpoint.stream_id = id;
  checkpoint.frame = frame;
  checkpoint.input = input_;
  checkpoint.posteriors = return_posteriors_;
  checkpoint.units = decoder_.has_value();
  if (decoder_) checkpoint.last_unit = decoder_->last_unit();
  checkpoint.state = std::move(state);
  return checkpoint;
}

int64_t StreamSession::ContentBytesBefore(int64_t frame) const {
  const Model& model = *served_->model;
  switch (input_) {
    case InputKind::kAudio:  // a frame does not depend on samples before its window
      return FrameStartSample(ToFbankOptions(model.features), frame) * sizeof(int16_t);
    case InputKind::kFloat32:
      return frame * model.input_dim() * sizeof(float);
    case InputKind::kInt16:
      return frame * model.input_dim() * sizeof(int16_t);
  }
  return 0;
}

v1::StreamingInferResponse StreamSession::Answer(const StreamResult& result) {
  const Model& model = *served_->model;
  const size_t units = model.num_units();
  v1::StreamingInferResponse answer;
  answer.set_first_frame(result.first_frame);
  answer.set_num_frames(result.num_frames);
  answer.set_queue_seconds(ToSeconds(result.queue_time));
  answer.set_compute_seconds(ToSeconds(result.compute_time));
  if (return_posteriors_) {
    posteriors_.resize(result.logits.size());
    for (size_t at = 0; at < posteriors_.size(); at += units) {
      LogSoftmax(result.logits.subspan(at, units), absl::MakeSpan(posteriors_).subspan(at, units));
    }
    answer.set_log_posteriors(posteriors_.data(), posteriors_.size() * sizeof(float));
  }
  if (decoder_) {
    units_.clear();
    decoder_->Accept(result.logits, &units_);
    for (const DecodedUnit& unit : units_) {
      v1::RecognizedUnit* out = answer.add_units();
      out->set_symbol(model.units[unit.index]);
      out->set_index(unit.index);
      out->set_frame(unit.frame);
      if (served_->fbank) {
        out->set_start_seconds(FrameStartMs(ToFbankOptions(model.features), unit.frame) / 1000);
      }
    }
  }
  return answer;
}

}  // namespace ese
