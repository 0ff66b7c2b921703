// SPDX-License-Identifier: Apache-2.0
// What a card's sensors say, through XRT.
#pragma once

namespace ese {

// Watts since the call before. NaN if the card does not tell.
double CardWatts(int card);

}  // namespace ese
