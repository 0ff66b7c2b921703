// SPDX-License-Identifier: Apache-2.0
// The power of a card, read from its sensors through XRT.
#pragma once

namespace ese {

// Returns the mean power in watts since the previous call, or NaN if the card does not report it.
double CardWatts(int card);

}  // namespace ese
