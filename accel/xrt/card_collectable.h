// SPDX-License-Identifier: Apache-2.0
// Shows the sensor readings of the cards at /metrics.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "accel/xrt/xrt_card.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace ese {

// ese_power_watts{component}, ese_card_celsius{sensor} and ese_card_volts{rail}, each with card,
// bdf and source, from the latest readings. A sensor that is missing or has no recent reading is
// omitted instead of being shown as 0. This class does not read the sensors itself, so a scrape
// never waits for one. Thread-safe.
class CardCollectable final : public prometheus::Collectable {
 public:
  explicit CardCollectable(std::vector<std::shared_ptr<XrtCard>> cards)
      : cards_(std::move(cards)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::vector<std::shared_ptr<XrtCard>> cards_;
};

}  // namespace ese
