// SPDX-License-Identifier: Apache-2.0
#include "metrics/cost.h"

namespace ese {

void ShowCost(const CostOptions& cost, MetricsRegistry* metrics) {
  if (cost.server_price <= 0 && cost.card_price <= 0 && cost.tariff <= 0) return;
  if (cost.server_price > 0) {
    metrics
        ->GetGauge("ese_cost_server_price_dollars", "Price of the machine (--cost-server-price).")
        ->Set(cost.server_price);
    metrics
        ->GetGauge("ese_cost_server_life_years",
                   "Years over which the machine's price is spread (--cost-server-life).")
        ->Set(cost.server_life);
  }
  if (cost.card_price > 0) {
    metrics->GetGauge("ese_cost_card_price_dollars", "Price of a card (--cost-card-price).")
        ->Set(cost.card_price);
    metrics
        ->GetGauge("ese_cost_card_life_years",
                   "Years over which a card's price is spread (--cost-card-life).")
        ->Set(cost.card_life);
  }
  if (cost.tariff > 0) {
    metrics->GetGauge("ese_cost_tariff_dollars_per_kwh", "Price of electricity (--cost-tariff).")
        ->Set(cost.tariff);
  }
  metrics
      ->GetGauge("ese_cost_pue", "Power of the whole site over that of its computers (--cost-pue).")
      ->Set(cost.pue);
  metrics
      ->GetGauge("ese_cost_overhead_ratio",
                 "Space, network, repair and people as a share of the prices (--cost-overhead).")
      ->Set(cost.overhead);
  metrics
      ->GetGauge("ese_cost_machine_share_ratio",
                 "The share of the machine that this server uses (--cost-share).")
      ->Set(cost.share);
}

}  // namespace ese
