// SPDX-License-Identifier: Apache-2.0
// Turns samples into the content of a call: LINEAR16 at the model's rate, or FLOAT32 features.
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

// The config of a call with that kind of input. The caller sets what the server is to return.
v1::StreamingConfig MakeConfig(const v1::Model& model, InputKind kind);

// Bytes of one sample or of one frame of features. Every chunk is a whole multiple of this.
size_t ElementBytes(const v1::Model& model, InputKind kind);

// Seconds of audio in one frame of the model; 0 if the model takes features only.
double FrameSeconds(const v1::Model& model);

// Encodes the content of one stream from blocks of samples of any size. Its memory does not grow
// with the stream. Not thread-safe.
class ContentEncoder {
 public:
  // `rate_hz` is the rate of the samples to come. FAILED_PRECONDITION if the model takes features
  // only or has inconsistent settings; INVALID_ARGUMENT if `rate_hz` cannot be resampled to the
  // model's rate.
  static absl::StatusOr<ContentEncoder> Create(const v1::Model& model, InputKind kind, int rate_hz);

  // Appends to *out the content that the samples so far complete, which may be nothing. If `last`
  // is true, appends all that remains; no samples may follow.
  absl::Status Encode(absl::Span<const int16_t> samples, bool last, std::string* out);

 private:
  ContentEncoder(Resampler resampler, std::optional<FbankStream> fbank)
      : resampler_(std::move(resampler)), fbank_(std::move(fbank)) {}

  Resampler resampler_;
  std::optional<FbankStream> fbank_;
  std::vector<int16_t> resampled_;  // of the current block
  std::vector<float> features_;     // of the current block
};

}  // namespace ese
