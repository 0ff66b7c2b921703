// SPDX-License-Identifier: Apache-2.0
#include "accel/xrt/card_sensors.h"

#include <pthread.h>

#include <algorithm>
#include <boost/property_tree/json_parser.hpp>
#include <boost/property_tree/ptree.hpp>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

using boost::property_tree::ptree;

constexpr int kStaleIntervals = 3;
constexpr Duration kLongestStop = std::chrono::seconds(1);

ptree ParseJson(const std::string& json) {
  ptree tree;
  std::istringstream text(json);
  boost::property_tree::read_json(text, tree);
  return tree;
}

// Returns the numbers `value` of those entries of `list` that are present, by their `id`.
std::map<std::string, double> Present(const ptree& tree, const char* list, const char* id,
                                      const char* present, const char* value) {
  std::map<std::string, double> values;
  const auto entries = tree.get_child_optional(list);
  if (!entries) return values;
  for (const auto& [key, entry] : *entries) {
    const auto number = entry.get_optional<double>(value);
    if (number && entry.get(present, false)) values[entry.get(id, "")] = *number;
  }
  return values;
}

std::map<std::string, double> AllOf(const SensorReadings& readings) {
  std::map<std::string, double> all = readings.celsius;
  all.insert(readings.volts.begin(), readings.volts.end());
  if (readings.watts) all["power"] = *readings.watts;
  return all;
}

}  // namespace

absl::StatusOr<SensorReadings> ParseSensors(const std::string& electrical,
                                            const std::string& thermal) {
  try {
    SensorReadings readings;
    const ptree power = ParseJson(electrical);
    // The value is "N/A" if there is no such sensor.
    if (const auto watts = power.get_optional<double>("power_consumption_watts")) {
      readings.watts = *watts;
    }
    readings.volts = Present(power, "power_rails", "id", "voltage.is_present", "voltage.volts");
    readings.celsius =
        Present(ParseJson(thermal), "thermals", "location_id", "is_present", "temp_C");
    return readings;
  } catch (const boost::property_tree::ptree_error& error) {
    return absl::DataLossError(absl::StrCat("XRT's sensor readings are not valid: ", error.what()));
  }
}

void CardSensors::Take(const absl::StatusOr<SensorReadings>& readings, TimePoint now) {
  const SensorReadings taken = readings.ok() ? *readings : SensorReadings();
  const MutexLock lock(mutex_);
  FindFailed(taken, readings.status());
  if (!readings.ok()) return;
  // The power during a long gap is unknown, so the gap adds no energy.
  if (taken.watts && latest_.watts && now - at_ <= kStaleIntervals * options_.interval) {
    metrics_->AddJoules((*taken.watts + *latest_.watts) / 2 * ToSeconds(now - at_));
  }
  latest_ = taken;
  at_ = now;
  JudgeHeat(taken);
}

// XRT reports missing and unreadable sensors in the same way. A sensor that could be read before
// and no longer can has failed.
void CardSensors::FindFailed(const SensorReadings& readings, const absl::Status& status) {
  const std::map<std::string, double> all = AllOf(readings);
  int failed = 0, recovered = 0;
  std::string names;
  for (auto& [name, well] : sensors_) {
    const bool was_well = std::exchange(well, all.contains(name));
    if (!well) metrics_->Count(CardFault::kSensor);
    if (was_well && !well) {
      ++failed;
      absl::StrAppend(&names, names.empty() ? "" : ", ", name);
    }
    recovered += well && !was_well;
  }
  for (const auto& [name, value] : all) sensors_[name] = true;
  if (failed > 0) {
    spdlog::warn("{}: {} sensors can no longer be read: {}{}", card_, failed, names,
                 status.ok() ? "" : absl::StrCat(" (", status.message(), ")"));
  }
  if (recovered > 0) spdlog::info("{}: {} sensors can be read again", card_, recovered);
}

// Looks only at the FPGA itself, because other locations have other limits.
void CardSensors::JudgeHeat(const SensorReadings& readings) {
  if (options_.hot_celsius <= 0) return;
  std::optional<double> hottest;
  for (const auto& [location, celsius] : readings.celsius) {
    if (absl::StartsWithIgnoreCase(location, "fpga")) {
      hottest = std::max(celsius, hottest.value_or(celsius));
    }
  }
  if (!hottest) return;
  if (!too_hot_ && *hottest >= options_.hot_celsius) {
    too_hot_ = true;
    metrics_->Count(CardFault::kHot);
    spdlog::error("{} is at {} degrees Celsius and gets no batches until it is below {}", card_,
                  *hottest, options_.hot_celsius - kCoolerBy);
  } else if (too_hot_ && *hottest < options_.hot_celsius - kCoolerBy) {
    too_hot_ = false;
    spdlog::info("{} is at {} degrees Celsius and gets batches again", card_, *hottest);
  }
  metrics_->SetHot(too_hot_);
}

SensorReadings CardSensors::Latest(TimePoint now) const {
  const MutexLock lock(mutex_);
  return now - at_ <= kStaleIntervals * options_.interval ? latest_ : SensorReadings();
}

struct SensorSampler::State {
  bool Stopping() ABSL_LOCKS_EXCLUDED(mutex) {
    const MutexLock lock(mutex);
    return stopping;
  }

  Mutex mutex;
  CondVar changed;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  bool ended ABSL_GUARDED_BY(mutex) = false;
};

SensorSampler::SensorSampler(Duration interval, Read read, Take take)
    : state_(std::make_shared<State>()) {
  std::thread([state = state_, interval, read = std::move(read), take = std::move(take)]() mutable {
    pthread_setname_np(pthread_self(), "ese-sensors");
    while (!state->Stopping()) {
      const absl::StatusOr<SensorReadings> readings = read();
      const MutexLock lock(state->mutex);
      if (state->stopping) break;
      take(readings);
      const TimePoint next = Clock::Real()->Now() + interval;
      while (!state->stopping && state->changed.WaitUntil(state->mutex, next)) {
      }
    }
    read = nullptr;  // releases what it owns
    take = nullptr;
    const MutexLock lock(state->mutex);
    state->ended = true;
    state->changed.NotifyAll();
  }).detach();
}

SensorSampler::~SensorSampler() {
  const MutexLock lock(state_->mutex);
  state_->stopping = true;
  state_->changed.NotifyAll();
  const TimePoint give_up = Clock::Real()->Now() + kLongestStop;
  while (!state_->ended && state_->changed.WaitUntil(state_->mutex, give_up)) {
  }
}

}  // namespace ese
