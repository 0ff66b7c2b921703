// SPDX-License-Identifier: Apache-2.0
#include "bench/card_power.h"

#include <cmath>

#include "accel/xrt/card_sensors.h"
#include "xrt/xrt_device.h"

namespace ese {

double CardWatts(int card) {
  namespace info = xrt::info;
  const xrt::device device(static_cast<unsigned int>(card));
  const auto readings = ParseSensors(device.get_info<info::device::electrical>(),
                                     device.get_info<info::device::thermal>());
  return readings.ok() ? readings->watts.value_or(std::nan("")) : std::nan("");
}

}  // namespace ese
