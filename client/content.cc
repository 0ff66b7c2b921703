// SPDX-License-Identifier: Apache-2.0
#include "client/content.h"

#include <bit>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {
namespace {

static_assert(
    std::endian::native == std::endian::little,
    "the service's samples and features are little-endian and are copied without conversion");

FbankOptions ToFbankOptions(const v1::FeatureSettings& settings) {
  FbankOptions options;
  options.sample_rate_hz = static_cast<int>(settings.sample_rate_hz());
  options.frame_length_ms = settings.frame_length_ms();
  options.frame_shift_ms = settings.frame_shift_ms();
  options.num_mel_bins = static_cast<int>(settings.num_mel_bins());
  options.low_freq_hz = settings.low_freq_hz();
  options.high_freq_hz = settings.high_freq_hz();
  options.preemphasis = settings.preemphasis();
  options.stack = static_cast<int>(settings.stack());
  return options;
}

bool TakesAudio(const v1::Model& model) { return model.features().sample_rate_hz() > 0; }

template <typename T>
void AppendBytes(const std::vector<T>& values, std::string* out) {
  out->append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

absl::StatusOr<FbankStream> MakeFbank(const v1::Model& model) {
  absl::StatusOr<FbankStream> fbank = FbankStream::Create(ToFbankOptions(model.features()));
  if (fbank.ok() && fbank->dim() == static_cast<int>(model.input_dim())) return fbank;
  const std::string problem =
      fbank.ok() ? absl::StrCat(fbank->dim(), " features per frame, but the model has inputs of ",
                                model.input_dim())
                 : std::string(fbank.status().message());
  return absl::FailedPreconditionError(
      absl::StrCat("model ", model.name(), ": its feature settings are not usable (", problem,
                   "); compile the model again with correct settings"));
}

}  // namespace

v1::StreamingConfig MakeConfig(const v1::Model& model, InputKind kind) {
  v1::StreamingConfig config;
  config.set_model(model.name());
  if (kind == InputKind::kAudio) {
    config.mutable_audio()->set_sample_rate_hz(model.features().sample_rate_hz());
  } else {
    config.mutable_features()->set_encoding(v1::FeatureInput::FLOAT32);
    config.mutable_features()->set_dim(model.input_dim());
  }
  return config;
}

size_t ElementBytes(const v1::Model& model, InputKind kind) {
  return kind == InputKind::kAudio ? sizeof(int16_t) : model.input_dim() * sizeof(float);
}

double FrameSeconds(const v1::Model& model) {
  if (!TakesAudio(model)) return 0;
  return model.features().frame_shift_ms() * model.features().stack() / 1000.0;
}

absl::StatusOr<ContentEncoder> ContentEncoder::Create(const v1::Model& model, InputKind kind,
                                                      int rate_hz) {
  if (!TakesAudio(model)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "model ", model.name(), " takes features only, not audio; choose another with --model"));
  }
  std::optional<FbankStream> fbank;
  if (kind == InputKind::kFeatures) {
    ESE_ASSIGN_OR_RETURN(fbank, MakeFbank(model));
  }
  ESE_ASSIGN_OR_RETURN(
      Resampler resampler,
      Resampler::Create(rate_hz, static_cast<int>(model.features().sample_rate_hz())));
  return ContentEncoder(std::move(resampler), std::move(fbank));
}

absl::Status ContentEncoder::Encode(absl::Span<const int16_t> samples, bool last,
                                    std::string* out) {
  resampled_.clear();
  ESE_RETURN_IF_ERROR(resampler_.Process(samples, last, &resampled_));
  if (!fbank_) {
    AppendBytes(resampled_, out);
    return absl::OkStatus();
  }
  features_.clear();
  fbank_->Accept(resampled_, &features_);
  AppendBytes(features_, out);
  return absl::OkStatus();
}

}  // namespace ese
