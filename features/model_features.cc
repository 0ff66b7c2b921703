// SPDX-License-Identifier: Apache-2.0
#include "features/model_features.h"

namespace ese {

FbankOptions ToFbankOptions(const FeatureSettings& settings) {
  return {.sample_rate_hz = settings.sample_rate_hz,
          .frame_length_ms = settings.frame_length_ms,
          .frame_shift_ms = settings.frame_shift_ms,
          .num_mel_bins = settings.num_mel_bins,
          .low_freq_hz = settings.low_freq_hz,
          .high_freq_hz = settings.high_freq_hz,
          .preemphasis = settings.preemphasis,
          .stack = settings.stack};
}

}  // namespace ese
