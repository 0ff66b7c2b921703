// SPDX-License-Identifier: Apache-2.0
// What a card's sensors say, and what follows from it: energy, a card that is too hot, sensors that
// fail. Free of XRT.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "accel/xrt/card_metrics.h"
#include "base/clock.h"

namespace ese {

// A sensor that a card does not have, or that cannot be read, is not in it.
struct SensorReadings {
  std::optional<double> watts;
  std::map<std::string, double> celsius;  // by place: fpga0
  std::map<std::string, double> volts;    // by rail: 12v_pex
};

// From XRT's JSON, xrt::info::device::electrical and thermal. DATA_LOSS: it is no JSON.
absl::StatusOr<SensorReadings> ParseSensors(const std::string& electrical,
                                            const std::string& thermal);

struct SensorOptions {
  Duration interval = std::chrono::seconds(1);
  // From here on the FPGA is too hot, until it is kCoolerBy below; 0: never.
  double hot_celsius = 90;
};

// Thread-safe.
class CardSensors {
 public:
  static constexpr double kCoolerBy = 5;

  // `metrics` must outlive it. `card` is its name in the log, "card 0".
  CardSensors(std::string card, const SensorOptions& options, CardMetrics* metrics)
      : card_(std::move(card)), options_(options), metrics_(metrics) {}

  void Take(const absl::StatusOr<SensorReadings>& readings, TimePoint now);
  // The last ones; none if they are older than three intervals.
  SensorReadings Latest(TimePoint now) const;
  bool too_hot() const { return too_hot_; }

 private:
  // REQUIRES: mutex_.
  void FindFailed(const SensorReadings& readings, const absl::Status& status);
  void JudgeHeat(const SensorReadings& readings);

  const std::string card_;
  const SensorOptions options_;
  CardMetrics* const metrics_;
  std::atomic<bool> too_hot_ = false;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  SensorReadings latest_;
  TimePoint at_{};                       // of latest_
  std::map<std::string, bool> sensors_;  // those that were ever read: whether they were last time
};

// Reads sensors every `interval` on a thread of its own.
class SensorSampler {
 public:
  using Read = std::function<absl::StatusOr<SensorReadings>()>;
  using Take = std::function<void(const absl::StatusOr<SensorReadings>&)>;

  // `take` is called after each reading, and never once the destructor has begun.
  SensorSampler(Duration interval, Read read, Take take);
  // Waits for a reading under way for at most a second: one that never ends keeps its thread, and
  // all that `read` owns.
  ~SensorSampler();

 private:
  struct State;

  const std::shared_ptr<State> state_;
};

}  // namespace ese
