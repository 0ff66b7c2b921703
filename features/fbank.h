// SPDX-License-Identifier: Apache-2.0
// Streaming log-mel filter banks, the same numbers as Kaldi's compute-fbank-feats.
//
// Samples (16-bit, mono) go in by any chunks; frames for the model come out. One analysis window
// (25 ms, every 10 ms by default; what Kaldi calls a frame) gives num_mel_bins log energies, and
// `stack` consecutive windows side by side, without overlap, make one frame:
//
//   samples   |--- window 0 ---|
//                  |--- window 1 ---|
//                       |--- window 2 ---|      frame 0 = [window 0 | window 1 | window 2]
//                            |--- window 3 ---| frame 1 = [window 3 | ...
//
// Each window is computed as by Kaldi's feature-window.cc, feature-fbank.cc and
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
  float frame_length_ms = 25;  // of one analysis window
  float frame_shift_ms = 10;   // from one window to the next; at most frame_length_ms
  int num_mel_bins = 51;       // triangles, each of which must cover at least one FFT bin
  float low_freq_hz = 20;      // where the first triangle begins
  float high_freq_hz = 0;      // where the last ends; zero or negative: offset from Nyquist
  float preemphasis = 0.97f;   // within the window: x[i] - preemphasis * x[i-1]
  int stack = 3;               // windows in a frame
};

// INVALID_ARGUMENT names the option that cannot be used and what to set instead.
absl::Status Validate(const FbankOptions& options);

// Where frame `frame` begins in its stream. A fresh stream fed from this sample on gives `frame`
// and all that follow with the same bits: no window depends on samples before its own.
// REQUIRES: Validate(options).ok()
int64_t FrameStartSample(const FbankOptions& options, int64_t frame);

// The same in milliseconds: frame_shift_ms * stack * frame, with the shift rounded down to whole
// samples (10 ms are 220 at 22050 Hz, not 220.5), so that it does not drift from the audio.
// REQUIRES: Validate(options).ok()
double FrameStartMs(const FbankOptions& options, int64_t frame);

// Window function and mel triangles: immutable, shared by any number of streams and threads.
struct FbankTables;

// Fails as Validate() does.
absl::StatusOr<std::shared_ptr<const FbankTables>> MakeFbankTables(const FbankOptions& options);

// The features of one stream. Holds less than one window of samples and less than one frame of
// energies (1.5 KB with the defaults), however long the stream. Not thread-safe; different streams
// may run on different threads at once.
class FbankStream {
 public:
  // For one stream alone. Fails as Validate() does.
  static absl::StatusOr<FbankStream> Create(const FbankOptions& options);

  // For many streams: they share `tables`, which must not be null.
  explicit FbankStream(std::shared_ptr<const FbankTables> tables);

  FbankStream(FbankStream&&) = default;
  FbankStream& operator=(FbankStream&&) = default;

  // Floats in a frame: num_mel_bins * stack.
  int dim() const;

  // Appends to *out every frame that `samples` complete, row-major [n][dim()], and returns n. How
  // the samples are cut into calls does not change a bit of the frames. Samples at the end of a
  // stream that fill no window (snip_edges), and windows that fill no frame, give nothing.
  int Accept(absl::Span<const int16_t> samples, std::vector<float>* out);

  // Forgets all samples; the next begin a new stream.
  void Reset();

 private:
  std::shared_ptr<const FbankTables> tables_;
  std::vector<int16_t> pending_;  // from the next window's first sample on; less than a window
  std::vector<float> energies_;   // of the frame begun; less than dim() between calls
};

}  // namespace ese
