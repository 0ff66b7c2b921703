// SPDX-License-Identifier: Apache-2.0
// What the cards' sensors say, for /metrics.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "accel/xrt/xrt_card.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace ese {

// ese_card_watts, ese_card_celsius{sensor} and ese_card_volts{rail}, each with card, bdf and
// source, from the latest readings: a sensor that is not there, or of which nothing is known of
// late, is not shown, rather than as 0. Reads no sensor itself, so a scrape never waits for one.
// Thread-safe.
class CardCollectable final : public prometheus::Collectable {
 public:
  explicit CardCollectable(std::vector<std::shared_ptr<XrtCard>> cards)
      : cards_(std::move(cards)) {}

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::vector<std::shared_ptr<XrtCard>> cards_;
};

}  // namespace ese
