// SPDX-License-Identifier: Apache-2.0
// From samples to what a call carries: LINEAR16 at the model's rate, or FLOAT32 features.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "client/audio.h"
#include "ese/v1/speech.pb.h"
#include "features/fbank.h"

namespace ese {

enum class InputKind {
  kAudio,     // samples; the server computes the features
  kFeatures,  // filter banks computed here, with the model's settings
};

// The config of a call for that input; what to return is left to the caller.
v1::StreamingConfig MakeConfig(const v1::Model& model, InputKind kind);

// Bytes of one sample, or of one frame of features: chunks are whole multiples.
size_t ElementBytes(const v1::Model& model, InputKind kind);

// Seconds of audio that one frame of the model stands for; 0 where it takes features only.
double FrameSeconds(const v1::Model& model);

// One stream's content, from samples by any blocks. Memory does not grow with the stream.
// Not thread-safe.
class ContentEncoder {
 public:
  // FAILED_PRECONDITION if the model takes features only, or its settings contradict one another;
  // INVALID_ARGUMENT if `rate_hz`, that of the samples to come, cannot be resampled to the model's.
  static absl::StatusOr<ContentEncoder> Create(const v1::Model& model, InputKind kind, int rate_hz);

  // Appends to *out whatever content the samples so far complete, which may be nothing; with `last`
  // all that is left. No samples are taken after `last`.
  absl::Status Encode(absl::Span<const int16_t> samples, bool last, std::string* out);

 private:
  ContentEncoder(Resampler resampler, std::optional<FbankStream> fbank)
      : resampler_(std::move(resampler)), fbank_(std::move(fbank)) {}

  Resampler resampler_;
  std::optional<FbankStream> fbank_;
  std::vector<int16_t> resampled_;  // of the block at hand
  std::vector<float> features_;     // of the block at hand
};

}  // namespace ese
