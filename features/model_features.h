// SPDX-License-Identifier: Apache-2.0
// Turns a model's audio settings into filter-bank options.
#pragma once

#include "features/fbank.h"
#include "model/model.h"

namespace ese {

// REQUIRES: settings.sample_rate_hz > 0. Call Validate() on the result unless the settings are
// known to be valid.
FbankOptions ToFbankOptions(const FeatureSettings& settings);

}  // namespace ese
