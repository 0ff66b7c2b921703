// SPDX-License-Identifier: Apache-2.0
// From a model's audio settings to what computes them.
#pragma once

#include "features/fbank.h"
#include "model/model.h"

namespace ese {

// REQUIRES: settings.sample_rate_hz > 0; where the settings are not known to be valid, Validate()
// the result.
FbankOptions ToFbankOptions(const FeatureSettings& settings);

}  // namespace ese
