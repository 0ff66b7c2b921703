// SPDX-License-Identifier: Apache-2.0
// Converts between Duration and the units of command lines and reports.
#pragma once

#include <chrono>

#include "base/clock.h"

namespace ese {

inline Duration FromSeconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

inline double Milliseconds(Duration d) { return 1000 * ToSeconds(d); }

}  // namespace ese
