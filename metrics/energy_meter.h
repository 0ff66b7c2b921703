// SPDX-License-Identifier: Apache-2.0
// The power that the machine draws and the energy that it has used: ese_power_watts and
// ese_energy_joules_total, each with component and source. What is not known is not shown.
//
// source="rapl": the processors' own counters, through Linux's powercap. Components are the
// packages
// ("package-0") and, beside them, their memory ("dram-0"). The domains core and uncore are part of
// a package, and the domain psys contains the packages, so none of these is counted.
// source="model": idle watts plus watts for each processor that this process keeps busy. The
// component is "server".
//
// Powercap: https://docs.kernel.org/power/powercap/powercap.html
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace ese {

// The help texts, which the metrics of cards share.
inline constexpr char kPowerHelp[] =
    "Power that a part of the machine draws, in watts, by the source of the figure.";
inline constexpr char kEnergyHelp[] =
    "Energy that a part of the machine has used since the server started, in joules.";

struct PowerOptions {
  // "auto": RAPL if it can be read, else nothing. "rapl", "model", "none".
  std::string source = "auto";
  double idle_watts = 0;  // of the model
  double core_watts = 0;  // of the model
  std::string powercap = "/sys/class/powercap";
  Duration interval = std::chrono::seconds(1);
  // Processor time of this process in seconds. Null: the system tells.
  std::function<double()> cpu_seconds;
};

// Samples from an alarm of the clock, so that a scrape never waits for a sensor. Thread-safe.
class EnergyMeter final : public prometheus::Collectable {
 public:
  // Returns null if there is nothing to show. INVALID_ARGUMENT: the model has no watts, or the
  // source has another name. FAILED_PRECONDITION: "rapl" was asked for and cannot be read.
  static absl::StatusOr<std::shared_ptr<EnergyMeter>> Start(PowerOptions options, Clock* clock);

  std::vector<prometheus::MetricFamily> Collect() const override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A counter of powercap.
  struct Zone {
    std::string folder;
    std::string component;
    double range_joules;  // the counter starts again from 0 beyond this
    bool failing = false;
    std::optional<double> last{};  // what the counter said, in joules
    TimePoint last_at{};
    TimePoint moved_at{};  // when the counter last changed
    std::optional<double> watts{};
    double joules = 0;  // since the server started
    bool moved = false;
  };

  EnergyMeter(PowerOptions options, Clock* clock, std::vector<Zone> zones);

  static std::vector<Zone> FindZones(const std::string& powercap);
  void Sample() ABSL_LOCKS_EXCLUDED(mutex_);
  static void SampleZone(Zone& zone, TimePoint now);
  void SampleModel(TimePoint now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const PowerOptions options_;
  Clock* const clock_;
  const char* const source_;
  mutable Mutex mutex_;
  // For the model, one zone without a folder.
  std::vector<Zone> zones_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Alarm> alarm_;  // destroyed first
};

}  // namespace ese
