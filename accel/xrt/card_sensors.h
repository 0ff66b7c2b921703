// SPDX-License-Identifier: Apache-2.0
// The readings of a card's sensors, from which it computes energy and detects overheating and
// failed sensors. Does not depend on XRT.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "accel/xrt/card_metrics.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace ese {

// Sensors that the card lacks or that cannot be read are absent.
struct SensorReadings {
  std::optional<double> watts;
  std::map<std::string, double> celsius;  // by location, such as fpga0
  std::map<std::string, double> volts;    // by rail, such as 12v_pex
};

// Parses the JSON that XRT returns for xrt::info::device::electrical and thermal. DATA_LOSS if it
// is not valid.
absl::StatusOr<SensorReadings> ParseSensors(const std::string& electrical,
                                            const std::string& thermal);

struct SensorOptions {
  Duration interval = std::chrono::seconds(1);
  // From this temperature on the FPGA counts as too hot, until it is more than kCoolerBy cooler.
  // 0 turns this off.
  double hot_celsius = 90;
};

// Thread-safe.
class CardSensors {
 public:
  static constexpr double kCoolerBy = 5;

  // `metrics` must outlive this. `card` is the card's name in the log, such as "card 0".
  CardSensors(std::string card, const SensorOptions& options, CardMetrics* metrics)
      : card_(std::move(card)), options_(options), metrics_(metrics) {}

  void Take(const absl::StatusOr<SensorReadings>& readings, TimePoint now);
  // The latest readings, or none if they are older than three intervals.
  SensorReadings Latest(TimePoint now) const;
  bool too_hot() const { return too_hot_; }

 private:
  void FindFailed(const SensorReadings& readings, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void JudgeHeat(const SensorReadings& readings) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string card_;
  const SensorOptions options_;
  CardMetrics* const metrics_;
  std::atomic<bool> too_hot_ = false;

  mutable Mutex mutex_;
  SensorReadings latest_ ABSL_GUARDED_BY(mutex_);
  TimePoint at_ ABSL_GUARDED_BY(mutex_){};  // when latest_ was taken
  // Every sensor that was ever read, and whether it was in the last readings.
  std::map<std::string, bool> sensors_ ABSL_GUARDED_BY(mutex_);
};

// Reads sensors every `interval` on a thread of its own.
class SensorSampler {
 public:
  using Read = std::function<absl::StatusOr<SensorReadings>()>;
  using Take = std::function<void(const absl::StatusOr<SensorReadings>&)>;

  // `take` is called after each reading, and never once the destructor has begun.
  SensorSampler(Duration interval, Read read, Take take);
  // Waits at most a second for a reading in progress. If the reading never ends, its thread and
  // everything that `read` owns stay alive.
  ~SensorSampler();

 private:
  struct State;

  const std::shared_ptr<State> state_;
};

}  // namespace ese
