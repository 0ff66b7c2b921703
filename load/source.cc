// SPDX-License-Identifier: Apache-2.0
#include "load/source.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "client/audio.h"
#include "client/seconds.h"

namespace ese {
namespace {

constexpr double kNoiseSeconds = 4;
constexpr size_t kNoiseVariants = 61;

absl::StatusOr<std::string> Encode(const v1::Model& model, InputKind kind, const Audio& audio) {
  ESE_ASSIGN_OR_RETURN(ContentEncoder encoder,
                       ContentEncoder::Create(model, kind, audio.sample_rate_hz));
  std::string content;
  ESE_RETURN_IF_ERROR(encoder.Encode(audio.samples, true, &content));
  return content;
}

// Uniform noise between -8 and 8, about the spread of log energies.
std::string NoiseFeatures(const v1::Model& model, double frame_seconds, uint64_t seed) {
  const auto frames = static_cast<size_t>(std::max(1.0, std::round(kNoiseSeconds / frame_seconds)));
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<float> value(-8, 8);
  std::vector<float> features(frames * model.input_dim());
  for (float& feature : features) feature = value(random);
  return {reinterpret_cast<const char*>(features.data()), features.size() * sizeof(float)};
}

// Uniform noise at about a tenth of full scale.
Audio NoiseAudio(const v1::Model& model, uint64_t seed) {
  Audio audio;
  audio.sample_rate_hz = static_cast<int>(model.features().sample_rate_hz());
  audio.samples.resize(static_cast<size_t>(kNoiseSeconds * audio.sample_rate_hz));
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int> value(-3000, 3000);
  for (int16_t& sample : audio.samples) sample = static_cast<int16_t>(value(random));
  return audio;
}

}  // namespace

absl::StatusOr<LoadSource> LoadSource::Create(const v1::Model& model,
                                              const LoadSourceOptions& options) {
  LoadSource source;
  source.config_ = MakeConfig(model, options.input);
  const double told = FrameSeconds(model);
  const double frame_seconds = told > 0 ? told : options.frame_ms / 1000;
  const double element_seconds = options.input == InputKind::kFeatures
                                     ? frame_seconds
                                     : 1.0 / std::max(1u, model.features().sample_rate_hz());
  const double elements = std::max(1.0, std::round(options.chunk_ms / 1000 / element_seconds));
  source.chunk_bytes_ = static_cast<size_t>(elements) * ElementBytes(model, options.input);
  source.chunk_time_ = FromSeconds(elements * element_seconds);
  source.frame_time_ = FromSeconds(frame_seconds);

  for (const std::string& file : options.files) {
    ESE_ASSIGN_OR_RETURN(const Audio audio, ReadAudioFile(file));
    ESE_ASSIGN_OR_RETURN(std::string content, Encode(model, options.input, audio));
    if (content.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": is shorter than a frame; choose a longer recording"));
    }
    source.Add(std::move(content));
  }
  if (options.files.empty() && options.input == InputKind::kFeatures) {
    source.Add(NoiseFeatures(model, frame_seconds, options.seed));
  } else if (options.files.empty()) {
    ESE_ASSIGN_OR_RETURN(std::string content,
                         Encode(model, options.input, NoiseAudio(model, options.seed)));
    source.Add(std::move(content));
  }
  source.variants_ = static_cast<int>(source.contents_.size());
  if (options.files.empty()) {
    const size_t element_bytes = ElementBytes(model, options.input);
    const size_t count = source.sizes_[0] / element_bytes;
    source.variants_ = static_cast<int>(std::min(count, kNoiseVariants));
    source.variant_bytes_ = count / source.variants_ * element_bytes;
  }
  return source;
}

void LoadSource::Add(std::string content) {
  sizes_.push_back(content.size());
  const size_t whole = content.size() + chunk_bytes_;
  while (content.size() < whole) {
    content.append(content, 0, std::min(content.size(), whole - content.size()));
  }
  contents_.push_back(std::move(content));
}

absl::string_view LoadSource::Chunk(int stream, int64_t chunk) const {
  const size_t variant = VariantOf(stream);
  const size_t i = variant % contents_.size();
  const size_t at = variant * variant_bytes_ + static_cast<size_t>(chunk) * chunk_bytes_;
  return absl::string_view(contents_[i]).substr(at % sizes_[i], chunk_bytes_);
}

}  // namespace ese
