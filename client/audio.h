// SPDX-License-Identifier: Apache-2.0
// Audio files to samples, and samples from one rate to another.
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

// A file longer than this is refused: 4.6 hours at 16 kHz, 512 MB in memory.
inline constexpr int64_t kMaxAudioSamples = int64_t{1} << 28;

// Reads WAV, FLAC, Ogg (Vorbis, Opus) and whatever else libsndfile knows by the file's header.
// Channels are averaged; what is not 16-bit (24-bit, float, lossy) is rounded half to even and
// clipped to 16 bits. The rate is the file's own. Every error names `path` and what to do:
//   NOT_FOUND, PERMISSION_DENIED    as the system says
//   INVALID_ARGUMENT                a directory or a device, empty, not audio, no samples
//   DATA_LOSS                       audio, but damaged
//   OUT_OF_RANGE                    longer than kMaxAudioSamples
absl::StatusOr<Audio> ReadAudioFile(const std::string& path);

// Converts a stream of samples to another rate, band-limited, with libsamplerate's
// SRC_SINC_MEDIUM_QUALITY (121 dB signal to noise, 90 % of the lower rate's band). No shift in
// time: output i lies at the time of input i * from_hz / to_hz, and there are floor(in * to_hz /
// from_hz) of them. Until `last`, output lags by about 47 samples of the lower rate (3 to 6 ms for
// speech). Equal rates pass samples through unchanged. Not thread-safe.
class Resampler {
 public:
  // INVALID_ARGUMENT if a rate is not positive or one is over 256 times the other.
  static absl::StatusOr<Resampler> Create(int from_hz, int to_hz);

  // Appends to *out what can be computed from all samples so far; with `last`, everything. How the
  // samples are cut into calls does not change the output.
  // FAILED_PRECONDITION after `last`.
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
