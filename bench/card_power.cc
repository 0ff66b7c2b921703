#include "bench/card_power.h"

#include <cmath>
#include <string>

#include "absl/strings/numbers.h"
#include "nlohmann/json.hpp"
#include "xrt/xrt_device.h"

namespace ese {

double CardWatts(int card) {
  const auto electrical = nlohmann::json::parse(
      xrt::device(static_cast<unsigned int>(card)).get_info<xrt::info::device::electrical>());
  double watts = 0;
  const std::string text = electrical.value("power_consumption_watts", "");
  return absl::SimpleAtod(text, &watts) ? watts : std::nan("");
}

}  // namespace ese
