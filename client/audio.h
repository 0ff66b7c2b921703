// SPDX-License-Identifier: Apache-2.0
// Reads audio files, and converts samples from one rate to another.
//
//   ReadAudioFile("x.flac") -> Audio (mono, its own rate) -> Resampler -> samples at the model's
//   rate
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

struct SRC_STATE_tag;  // libsamplerate's converter

namespace ese {

struct Audio {
  int sample_rate_hz = 0;
  std::vector<int16_t> samples;  // mono
};

// Longer files are refused. This is 4.6 hours at 16 kHz, and 512 MB in memory.
inline constexpr int64_t kMaxAudioSamples = int64_t{1} << 28;

// Reads WAV, FLAC, Ogg (Vorbis, Opus) and every other format that libsndfile recognises by its
// header. Channels are averaged. Samples that are not 16-bit (24-bit, float, lossy formats) are
// rounded half to even and clipped to 16 bits. The file's sample rate is kept. Every error names
// `path` and a remedy:
//   NOT_FOUND, PERMISSION_DENIED    the system's error
//   INVALID_ARGUMENT                a directory, a device, an empty file, not audio, or no samples
//   DATA_LOSS                       damaged audio
//   OUT_OF_RANGE                    longer than kMaxAudioSamples
absl::StatusOr<Audio> ReadAudioFile(const std::string& path);

// Converts a stream of samples to another rate with a band limit, using libsamplerate's
// SRC_SINC_MEDIUM_QUALITY (121 dB signal to noise, 90 % of the lower rate's band). It does not
// shift the signal in time: output i is at the time of input i * from_hz / to_hz, and n inputs give
// floor(n * to_hz / from_hz) outputs. Until `last`, the output lags by about 47 samples of the
// lower rate (3 to 6 ms for speech). If the rates are equal, samples pass unchanged. Not
// thread-safe.
class Resampler {
 public:
  // INVALID_ARGUMENT if a rate is not positive, or more than 256 times the other.
  static absl::StatusOr<Resampler> Create(int from_hz, int to_hz);

  // Appends to *out what can be computed from all samples so far, or all that remains if `last` is
  // true. The output does not depend on how the samples are divided into calls.
  // FAILED_PRECONDITION: an earlier call had `last` set.
  absl::Status Process(absl::Span<const int16_t> in, bool last, std::vector<int16_t>* out);

 private:
  struct Delete {
    void operator()(SRC_STATE_tag* state) const;
  };

  Resampler(double ratio, SRC_STATE_tag* state) : ratio_(ratio), state_(state) {}

  absl::Status ProcessBlock(absl::Span<const int16_t> block, bool last, std::vector<int16_t>* out);

  double ratio_;                                  // to_hz / from_hz
  std::unique_ptr<SRC_STATE_tag, Delete> state_;  // null: the rates are equal
  bool ended_ = false;
};

}  // namespace ese
