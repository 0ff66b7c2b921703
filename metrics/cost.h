// SPDX-License-Identifier: Apache-2.0
// What machine, cards and electricity cost, for the rules of deploy/prometheus, which divide it by
// the work done.
#pragma once

#include "metrics/registry.h"

namespace ese {

struct CostOptions {
  double server_price = 0;  // dollars; 0: unknown
  double server_life = 6;   // years
  double card_price = 0;    // dollars a card; 0: unknown
  double card_life = 6;     // years
  double tariff = 0;        // dollars a kWh; 0: unknown
  double pue = 1;           // power of the whole site over that of its computers
  double overhead = 0;      // of the price: space, network, repair and people
  double share = 1;         // of the machine that this server uses
};

// Sets the gauges ese_cost_*. Those that nothing is known of are not created: a price that is
// unknown is not shown as 0, and without any price there are none at all.
void ShowCost(const CostOptions& cost, MetricsRegistry* metrics);

}  // namespace ese
