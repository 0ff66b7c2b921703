// SPDX-License-Identifier: Apache-2.0
#include "features/fbank_tables.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstddef>
#include <memory>
#include <numbers>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kiss_fftr.h"

namespace ese {
namespace {

// Limits on what a configuration may demand of the server. All are well beyond what speech needs.
constexpr int kMinSampleRateHz = 1000;
constexpr int kMaxSampleRateHz = 192000;
constexpr float kMaxFrameLengthMs = 200;
constexpr int kMinMelBins = 3;  // as Kaldi
constexpr int kMaxMelBins = 256;
constexpr int kMaxStack = 32;
constexpr int kMaxFftLog2 = 16;  // enough for kMaxFrameLengthMs at kMaxSampleRateHz

double Mel(double hz) { return 1127.0 * std::log(1.0 + hz / 700.0); }

double HighFreqHz(const FbankOptions& o) {
  return o.high_freq_hz > 0 ? o.high_freq_hz : 0.5 * o.sample_rate_hz + o.high_freq_hz;
}

// Comparisons are written so that a NaN fails them.
absl::Status CheckRanges(const FbankOptions& o) {
  const auto bad = [](auto... parts) { return absl::InvalidArgumentError(absl::StrCat(parts...)); };
  if (o.sample_rate_hz < kMinSampleRateHz || o.sample_rate_hz > kMaxSampleRateHz) {
    return bad("sample_rate_hz is ", o.sample_rate_hz, "; set it within ", kMinSampleRateHz, "..",
               kMaxSampleRateHz);
  }
  if (!(o.frame_length_ms > 0 && o.frame_length_ms <= kMaxFrameLengthMs) ||
      SamplesIn(o.frame_length_ms, o.sample_rate_hz) < 2) {
    return bad("frame_length_ms is ", o.frame_length_ms,
               "; set it to at least two samples and at most ", kMaxFrameLengthMs);
  }
  if (!(o.frame_shift_ms > 0 && o.frame_shift_ms <= o.frame_length_ms) ||
      SamplesIn(o.frame_shift_ms, o.sample_rate_hz) < 1) {
    return bad("frame_shift_ms is ", o.frame_shift_ms,
               "; set it to at least one sample and at most frame_length_ms, ", o.frame_length_ms);
  }
  if (o.num_mel_bins < kMinMelBins || o.num_mel_bins > kMaxMelBins) {
    return bad("num_mel_bins is ", o.num_mel_bins, "; set it within ", kMinMelBins, "..",
               kMaxMelBins);
  }
  const double nyquist_hz = 0.5 * o.sample_rate_hz;
  if (!(HighFreqHz(o) > 0 && HighFreqHz(o) <= nyquist_hz)) {
    return bad("high_freq_hz is ", o.high_freq_hz, "; set it to at most ", nyquist_hz,
               " (half of sample_rate_hz), to 0 for just that, or to a negative offset from it");
  }
  if (!(o.low_freq_hz >= 0 && o.low_freq_hz < HighFreqHz(o))) {
    return bad("low_freq_hz is ", o.low_freq_hz, "; set it to at least 0 and below ", HighFreqHz(o),
               ", the upper end (see high_freq_hz)");
  }
  if (!(o.preemphasis >= 0 && o.preemphasis <= 1)) {
    return bad("preemphasis is ", o.preemphasis, "; set it within 0..1");
  }
  if (o.stack < 1 || o.stack > kMaxStack) {
    return bad("stack is ", o.stack, "; set it within 1..", kMaxStack);
  }
  return absl::OkStatus();
}

// Kaldi's "povey" window (feature-window.cc): a Hann window to the power of 0.85. It goes to zero
// at the edges and otherwise resembles a Hamming window.
std::vector<float> PoveyWindow(int samples) {
  std::vector<float> window(samples);
  for (int i = 0; i < samples; ++i) {
    const double hann = 0.5 - 0.5 * std::cos(2 * std::numbers::pi * i / (samples - 1));
    window[i] = static_cast<float>(std::pow(hann, 0.85));
  }
  return window;
}

// Triangles of equal width on the mel scale, each beginning at its left neighbour's peak
// (mel-computations.cc, MelBanks::MelBanks). The bin at Nyquist belongs to none, as in Kaldi.
absl::Status AddTriangles(const FbankOptions& o, FbankTables* t) {
  std::vector<double> mel_of_bin(t->fft_samples / 2);
  for (size_t bin = 0; bin < mel_of_bin.size(); ++bin) {
    mel_of_bin[bin] = Mel(static_cast<double>(bin) * o.sample_rate_hz / t->fft_samples);
  }
  const double low = Mel(o.low_freq_hz);
  const double width = (Mel(HighFreqHz(o)) - low) / (o.num_mel_bins + 1);
  for (int m = 0; m < o.num_mel_bins; ++m) {
    MelTriangle triangle = {0, 0, static_cast<int>(t->weights.size())};
    for (int bin = 0; bin < t->fft_samples / 2; ++bin) {
      const double rise =
          (mel_of_bin[bin] - low) / width - m;  // 0 where the triangle begins, 1 at its peak
      const float weight = static_cast<float>(std::fmin(rise, 2 - rise));
      if (!(weight > 0)) continue;
      if (triangle.num_bins++ == 0) triangle.first_bin = bin;
      t->weights.push_back(weight);
    }
    if (triangle.num_bins == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("num_mel_bins is ", o.num_mel_bins, ", so many that bin ", m,
                       " covers no frequency of the ", t->fft_samples,
                       "-point transform; set fewer, widen low_freq_hz..high_freq_hz or lengthen "
                       "frame_length_ms"));
    }
    t->triangles.push_back(triangle);
  }
  return absl::OkStatus();
}

// A Fourier transform and its buffers. kiss_fftr writes to a scratch area inside its plan, so two
// threads must not use a plan at once. One plan for each thread and size keeps streams small and
// the plan in the thread's cache.
class Fft {
 public:
  explicit Fft(int samples) : time_(samples), freq_(samples / 2 + 1) {
    size_t bytes = 0;
    kiss_fftr_alloc(samples, /*inverse_fft=*/0, nullptr, &bytes);
    plan_memory_.resize(bytes / sizeof(std::max_align_t) + 1);
    plan_ = kiss_fftr_alloc(samples, /*inverse_fft=*/0, plan_memory_.data(), &bytes);
  }

  // The calling thread's transform. REQUIRES: `samples` is a power of two, at most 2^kMaxFftLog2.
  static Fft& OfThisThread(int samples) {
    thread_local std::array<std::unique_ptr<Fft>, kMaxFftLog2 + 1> ffts;
    std::unique_ptr<Fft>& fft = ffts[std::countr_zero(static_cast<unsigned>(samples))];
    if (fft == nullptr) fft = std::make_unique<Fft>(samples);
    return *fft;
  }

  float* time() { return time_.data(); }

  // Replaces time() [samples] by |X(k)|^2 [samples / 2], without the bin at Nyquist.
  void ToPower() {
    kiss_fftr(plan_, time_.data(), freq_.data());
    for (size_t k = 0; k + 1 < freq_.size(); ++k) {
      time_[k] = freq_[k].r * freq_[k].r + freq_[k].i * freq_[k].i;
    }
  }

 private:
  std::vector<std::max_align_t> plan_memory_;
  kiss_fftr_cfg plan_;
  std::vector<float> time_;
  std::vector<kiss_fft_cpx> freq_;
};

// The sum of weights[i] * power[i]. There are four partial sums, because in a single chain each
// addition would wait for the one before. The order of additions is fixed, so the result is too.
float WeightedSum(const float* weights, const float* power, int n) {
  float sum[4] = {0, 0, 0, 0};
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int j = 0; j < 4; ++j) sum[j] += weights[i + j] * power[i + j];
  }
  for (; i < n; ++i) sum[0] += weights[i] * power[i];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

}  // namespace

int SamplesIn(float ms, int sample_rate_hz) {
  return static_cast<int>(sample_rate_hz * 0.001 * ms);
}

// x = m 2^e with m in [1/sqrt 2, sqrt 2), and ln m = 2 atanh(s) = 2 s (1 + s^2/3 + s^4/5 + ...)
// with s = (m - 1) / (m + 1), |s| < 0.172: the first term left out is below 6e-11 of the sum.
float PortableLog(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  constexpr uint32_t kSqrtHalf = 0x3f3504f3;  // bits of 1 / sqrt 2
  const int32_t exponent = static_cast<int32_t>(bits - kSqrtHalf) >> 23;
  const double m = std::bit_cast<float>(bits - (static_cast<uint32_t>(exponent) << 23));
  const double s = (m - 1) / (m + 1);
  const double q = s * s;
  const double series =
      1 + q * (1.0 / 3 + q * (1.0 / 5 + q * (1.0 / 7 + q * (1.0 / 9 + q * (1.0 / 11)))));
  return static_cast<float>(exponent * std::numbers::ln2 + 2 * s * series);
}

absl::StatusOr<std::shared_ptr<const FbankTables>> MakeFbankTables(const FbankOptions& options) {
  if (absl::Status status = CheckRanges(options); !status.ok()) return status;
  auto t = std::make_shared<FbankTables>();
  t->dim = options.num_mel_bins * options.stack;
  t->window_samples = SamplesIn(options.frame_length_ms, options.sample_rate_hz);
  t->shift_samples = SamplesIn(options.frame_shift_ms, options.sample_rate_hz);
  t->fft_samples = static_cast<int>(std::bit_ceil(static_cast<unsigned>(t->window_samples)));
  t->preemphasis = options.preemphasis;
  t->window = PoveyWindow(t->window_samples);
  if (absl::Status status = AddTriangles(options, t.get()); !status.ok()) return status;
  return t;
}

absl::Status Validate(const FbankOptions& options) { return MakeFbankTables(options).status(); }

void ComputeLogMel(const FbankTables& t, const int16_t* samples, float* energies) {
  const int n = t.window_samples;
  int64_t sum = 0;
  for (int i = 0; i < n; ++i) sum += samples[i];
  const float mean = static_cast<float>(static_cast<double>(sum) / n);

  Fft& fft = Fft::OfThisThread(t.fft_samples);
  float* x = fft.time();
  // The first sample's predecessor is itself, as in Kaldi's Preemphasize().
  x[0] = (samples[0] - mean) * (1 - t.preemphasis) * t.window[0];
  for (int i = 1; i < n; ++i) {
    x[i] = ((samples[i] - mean) - t.preemphasis * (samples[i - 1] - mean)) * t.window[i];
  }
  std::fill(x + n, x + t.fft_samples, 0.0f);
  fft.ToPower();

  for (size_t m = 0; m < t.triangles.size(); ++m) {
    const MelTriangle& triangle = t.triangles[m];
    const float energy =
        WeightedSum(&t.weights[triangle.first_weight], x + triangle.first_bin, triangle.num_bins);
    energies[m] = PortableLog(std::max(energy, FLT_EPSILON));
  }
}

}  // namespace ese
