// SPDX-License-Identifier: Apache-2.0
// Streaming log-mel filter banks with the same values as Kaldi's compute-fbank-feats.
//
// Samples (16-bit, mono) go in, in chunks of any size, and frames for the model come out. One
// analysis window (by default 25 ms long, one every 10 ms; Kaldi calls it a frame) gives
// num_mel_bins log energies. `stack` consecutive windows side by side make one frame; frames share
// no window:
//
//   samples   |--- window 0 ---|
//                  |--- window 1 ---|
//                       |--- window 2 ---|      frame 0 = [window 0 | window 1 | window 2]
//                            |--- window 3 ---| frame 1 = [window 3 | ...
//
// Each window is computed as in Kaldi's feature-window.cc, feature-fbank.cc and
// mel-computations.cc, with dither 0, window_type povey, remove_dc_offset, round_to_power_of_two,
// use_power, use_log_fbank and snip_edges = true, and no energy column. Samples keep the scale of
// int16
// (-32768..32767), as in Kaldi. Mel(f) = 1127 ln(1 + f / 700). Energies are floored at
// FLT_EPSILON before the logarithm, so digital silence gives ln(2^-23) = -15.942385. The same
// samples gave the same bits with gcc and clang, and with glibc's FMA paths on and off.
// tests/golden/fbank holds the comparison with torchaudio.compliance.kaldi.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace ese {

// The defaults are the 153 inputs of the paper's model: 3 x 51 log energies every 30 ms.
struct FbankOptions {
  int sample_rate_hz = 16000;
  float frame_length_ms = 25;  // length of one analysis window
  float frame_shift_ms = 10;   // from one window to the next; at most frame_length_ms
  int num_mel_bins = 51;       // triangles; each must cover at least one FFT bin
  float low_freq_hz = 20;      // start of the first triangle
  float high_freq_hz = 0;      // end of the last triangle; 0 or negative: relative to Nyquist
  float preemphasis = 0.97f;   // within the window: x[i] - preemphasis * x[i-1]
  int stack = 3;               // windows in a frame
};

// INVALID_ARGUMENT: an option cannot be used. The message names it and says what to set instead.
absl::Status Validate(const FbankOptions& options);

// The sample at which frame `frame` of a stream begins. If a new stream gets the samples from there
// on, its frames have the same bits as `frame` and the later frames of the original stream, because
// no window depends on samples before its own. REQUIRES: Validate(options).ok()
int64_t FrameStartSample(const FbankOptions& options, int64_t frame);

// The same in milliseconds: frame_shift_ms * stack * frame, where the shift is rounded down to
// whole samples (10 ms are 220 samples at 22050 Hz, not 220.5), so that the time does not drift
// from the audio. REQUIRES: Validate(options).ok()
double FrameStartMs(const FbankOptions& options, int64_t frame);

// The window function and the mel triangles. Immutable; any number of streams and threads share
// them.
struct FbankTables;

// Fails as Validate() does.
absl::StatusOr<std::shared_ptr<const FbankTables>> MakeFbankTables(const FbankOptions& options);

// Computes the features of one stream. However long the stream, it holds less than one window of
// samples and less than one frame of energies (1.5 KB with the defaults). Not thread-safe;
// different streams may run on different threads at once.
class FbankStream {
 public:
  // A stream with its own tables. Fails as Validate() does.
  static absl::StatusOr<FbankStream> Create(const FbankOptions& options);

  // A stream that shares `tables`, which must not be null, with others.
  explicit FbankStream(std::shared_ptr<const FbankTables> tables);

  FbankStream(FbankStream&&) = default;
  FbankStream& operator=(FbankStream&&) = default;

  // The number of floats in a frame: num_mel_bins * stack.
  int dim() const;

  // Appends to *out all n frames that `samples` complete, as [n][dim()], and returns n. How samples
  // are divided between calls does not change a bit of the frames. At the end of a stream, samples
  // that do not fill a window (snip_edges) and windows that do not fill a frame give nothing.
  int Accept(absl::Span<const int16_t> samples, std::vector<float>* out);

  // Forgets all samples. The next samples begin a new stream.
  void Reset();

 private:
  std::shared_ptr<const FbankTables> tables_;
  std::vector<int16_t> pending_;  // samples from the next window on; fewer than a window has
  std::vector<float> energies_;   // of the unfinished frame; fewer than dim() between calls
};

}  // namespace ese
