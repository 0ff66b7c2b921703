// SPDX-License-Identifier: Apache-2.0
#include "metrics/energy_meter.h"

#include <time.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

// After a longer pause, such as a suspended machine, nobody knows how often the counter has started
// again.
constexpr Duration kLongestGap = std::chrono::seconds(30);
// A counter that has not changed for so long does not work.
constexpr Duration kLongestStandstill = std::chrono::seconds(60);

// Returns the first word of a file.
std::optional<std::string> ReadWord(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  if (!(file >> word)) return std::nullopt;
  return word;
}

// Returns joules from a file with microjoules.
std::optional<double> ReadJoules(const std::string& path) {
  std::ifstream file(path);
  uint64_t microjoules = 0;
  if (!(file >> microjoules)) return std::nullopt;
  return static_cast<double>(microjoules) * 1e-6;
}

double ProcessCpuSeconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

prometheus::ClientMetric Labelled(const std::string& component, const char* source) {
  prometheus::ClientMetric metric;
  metric.label = {{"component", component}, {"source", source}};
  return metric;
}

}  // namespace

absl::StatusOr<std::shared_ptr<EnergyMeter>> EnergyMeter::Start(PowerOptions options,
                                                                Clock* clock) {
  std::vector<Zone> zones;
  if (options.source == "none") return nullptr;
  if (options.source == "model") {
    if (options.idle_watts + options.core_watts <= 0) {
      return absl::InvalidArgumentError(
          "--power model needs --power-idle-watts, --power-core-watts or both");
    }
    if (!options.cpu_seconds) options.cpu_seconds = ProcessCpuSeconds;
    zones.push_back({.folder = "", .component = "server", .range_joules = 0});
  } else if (options.source == "auto" || options.source == "rapl") {
    zones = FindZones(options.powercap);
    if (zones.empty() && options.source == "rapl") {
      return absl::FailedPreconditionError(absl::StrCat(
          "--power rapl: no energy counter of a processor can be read in ", options.powercap,
          "; the kernel lets only root read them, and virtual machines seldom have them; use "
          "--power "
          "model or --power none"));
    }
    if (zones.empty()) return nullptr;
    options.source = "rapl";
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("--power is ", options.source, "; it must be auto, rapl, model or none"));
  }
  return std::shared_ptr<EnergyMeter>(new EnergyMeter(std::move(options), clock, std::move(zones)));
}

EnergyMeter::EnergyMeter(PowerOptions options, Clock* clock, std::vector<Zone> zones)
    : options_(std::move(options)),
      clock_(clock),
      source_(options_.source == "model" ? "model" : "rapl"),
      zones_(std::move(zones)),
      alarm_(clock->MakeAlarm([this] {
        Sample();
        alarm_->Set(clock_->Now() + options_.interval);
      })) {
  Sample();
  alarm_->Set(clock_->Now() + options_.interval);
}

// All zones are entries of one folder: intel-rapl:0 is a package, intel-rapl:0:1 a part of it.
// AMD's processors have the same names. intel-rapl-mmio:0 is a second view of a package.
std::vector<EnergyMeter::Zone> EnergyMeter::FindZones(const std::string& powercap) {
  std::vector<Zone> zones;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(powercap, error)) {
    const std::string folder = entry.path().string();
    const std::string id = entry.path().filename().string();
    if (!absl::StartsWith(id, "intel-rapl:")) continue;
    const std::string name = ReadWord(folder + "/name").value_or("");
    const bool is_part = std::ranges::count(id, ':') > 1;
    std::string component;
    if (!is_part && absl::StartsWith(name, "package-")) {
      component = name;
    } else if (is_part && name == "dram") {
      const size_t begin = id.find(':') + 1;
      component = absl::StrCat("dram-", id.substr(begin, id.find(':', begin) - begin));
    } else {
      continue;
    }
    const std::optional<double> range = ReadJoules(folder + "/max_energy_range_uj");
    if (!range || *range <= 0 || !ReadJoules(folder + "/energy_uj")) continue;
    zones.push_back({.folder = folder, .component = component, .range_joules = *range});
  }
  std::ranges::sort(zones, {}, &Zone::component);
  return zones;
}

void EnergyMeter::Sample() {
  const MutexLock lock(mutex_);
  const TimePoint now = clock_->Now();
  if (options_.source == "model") {
    SampleModel(now);
  } else {
    for (Zone& zone : zones_) SampleZone(zone, now);
  }
}

void EnergyMeter::SampleZone(Zone& zone, TimePoint now) {
  const std::optional<double> counter = ReadJoules(zone.folder + "/energy_uj");
  if (zone.failing != !counter) {
    zone.failing = !counter;
    if (counter) {
      spdlog::info("the energy of {} can be read again", zone.component);
    } else {
      spdlog::warn("the energy of {} can no longer be read, so its power is not shown",
                   zone.component);
    }
  }
  const std::optional<double> last = std::exchange(zone.last, counter);
  const Duration gap = now - std::exchange(zone.last_at, now);
  zone.watts.reset();
  if (!counter || !last || gap <= Duration(0) || gap > kLongestGap) return;
  double joules = *counter - *last;
  if (joules < 0) joules += zone.range_joules;
  // Otherwise the counter is not what it says that it is.
  if (joules < 0 || joules > zone.range_joules) return;
  if (joules > 0) {
    zone.moved = true;
    zone.moved_at = now;
  }
  zone.joules += joules;
  if (now - zone.moved_at < kLongestStandstill) zone.watts = joules / ToSeconds(gap);
}

void EnergyMeter::SampleModel(TimePoint now) {
  Zone& zone = zones_.front();
  const double cpu_seconds = options_.cpu_seconds();
  const std::optional<double> last = std::exchange(zone.last, cpu_seconds);
  const Duration gap = now - std::exchange(zone.last_at, now);
  if (!last || gap <= Duration(0)) return;
  const double busy_cores = std::max(0.0, cpu_seconds - *last) / ToSeconds(gap);
  zone.moved = true;
  zone.watts = options_.idle_watts + options_.core_watts * busy_cores;
  zone.joules += *zone.watts * ToSeconds(gap);
}

std::vector<MetricFamily> EnergyMeter::Collect() const {
  MetricFamily watts{"ese_power_watts", kPowerHelp, MetricType::Gauge, {}};
  MetricFamily joules{"ese_energy_joules_total", kEnergyHelp, MetricType::Counter, {}};
  const MutexLock lock(mutex_);
  for (const Zone& zone : zones_) {
    if (!zone.moved) continue;  // a counter that is always 0 says nothing
    if (zone.watts) {
      watts.metric.push_back(Labelled(zone.component, source_));
      watts.metric.back().gauge.value = *zone.watts;
    }
    joules.metric.push_back(Labelled(zone.component, source_));
    joules.metric.back().counter.value = zone.joules;
  }
  std::vector<MetricFamily> shown;
  for (MetricFamily* family : {&watts, &joules}) {
    if (!family->metric.empty()) shown.push_back(std::move(*family));
  }
  return shown;
}

}  // namespace ese
