// SPDX-License-Identifier: Apache-2.0
#include "accel/xrt/card_collectable.h"

#include <map>
#include <string>

#include "metrics/energy_meter.h"

namespace ese {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

void Add(const Labels& labels, double value, MetricFamily* family) {
  prometheus::ClientMetric metric;
  for (const auto& [name, text] : labels) metric.label.push_back({name, text});
  metric.gauge.value = value;
  family->metric.push_back(std::move(metric));
}

void Add(Labels labels, const char* label, const std::map<std::string, double>& values,
         MetricFamily* family) {
  for (const auto& [name, value] : values) {
    labels[label] = name;
    Add(labels, value, family);
  }
}

}  // namespace

std::vector<MetricFamily> CardCollectable::Collect() const {
  MetricFamily watts{"ese_power_watts", kPowerHelp, MetricType::Gauge, {}};
  MetricFamily celsius{
      "ese_card_celsius", "Temperatures of a card, in degrees Celsius.", MetricType::Gauge, {}};
  MetricFamily volts{
      "ese_card_volts", "Voltages of a card's power rails, in volts.", MetricType::Gauge, {}};
  for (const auto& card : cards_) {
    const CardIdentity identity = card->identity();
    Labels labels = LabelsOf(identity);
    labels["source"] = SourceOf(identity);
    const SensorReadings readings = card->sensors().Latest(Clock::Real()->Now());
    if (readings.watts) {
      Labels of_power = labels;
      of_power["component"] = ComponentOf(identity);
      Add(of_power, *readings.watts, &watts);
    }
    Add(labels, "sensor", readings.celsius, &celsius);
    Add(labels, "rail", readings.volts, &volts);
  }
  std::vector<MetricFamily> shown;
  for (MetricFamily* family : {&watts, &celsius, &volts}) {
    if (!family->metric.empty()) shown.push_back(std::move(*family));
  }
  return shown;
}

}  // namespace ese
