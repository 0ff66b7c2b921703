// SPDX-License-Identifier: Apache-2.0
// One card, which may be opened, lost and opened again. Its channels share it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "accel/xrt/card_metrics.h"
#include "accel/xrt/card_sensors.h"
#include "accel/xrt/xclbin_file.h"
#include "accel/xrt/xrt_cards.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "xrt/xrt_device.h"
#include "xrt/xrt_kernel.h"

namespace ese {

class XrtBatchSlot;

// XRT's objects for a card, from when it is opened until it is lost. After that they are useless,
// and all of them must be released before the card is opened again. Thread-safe.
struct OpenCard {
  struct Unit {
    xrt::kernel kernel;
    xrt::memory_group group = 0;  // the memory that the unit can reach; units may differ
  };
  xrt::device device;
  std::vector<Unit> units;
  std::atomic<bool> lost = false;
};

// Asks XRT for the card's identity.
absl::StatusOr<CardIdentity> Identify(int index, const xrt::device& device);
// UNAVAILABLE unless this version of XRT has the binary interface that this code was written for.
absl::Status CheckXrtVersion(const std::string& version);
// Returns the number of cards. UNAVAILABLE if XRT is missing or has another version.
absl::StatusOr<int> CountXrtCards();

// Thread-safe.
class XrtCard {
 public:
  // `metrics` may be null, and must outlive this.
  XrtCard(int index, std::shared_ptr<const XclbinFile> xclbin, const XrtOptions& options,
          MetricsRegistry* metrics);
  ~XrtCard();

  // Returns the card, and opens it first if necessary. If it is not open and another thread is
  // opening a card, returns UNAVAILABLE at once, so that no card waits for another one that does
  // not answer.
  absl::StatusOr<std::shared_ptr<OpenCard>> Get();

  const std::string& name() const { return name_; }  // xrt0
  int units() const { return static_cast<int>(xclbin_->units.size()); }
  CardSensors& sensors() { return sensors_; }
  // Reads the sensors. Returns NOT_FOUND while the card is not open. At increasing intervals it
  // tries to open the card, because nothing else does so while there are no batches. A card that
  // does not answer counts as lost. The call takes as long as the driver takes.
  absl::StatusOr<SensorReadings> ReadSensors();
  // Returns what is known about the card so far.
  CardIdentity identity() const;

  // Counts the failure of a batch and checks whether the card is gone. `first` is true if the slot
  // had worked until then.
  void Report(OpenCard* open, CardFault fault, const absl::Status& status, bool first);
  // Marks the open card as lost and logs the reason, unless it is marked already.
  void Lose(OpenCard* open, const std::string& reason);
  // Increases with each fault of a slot that had worked until then. When it increases, each channel
  // should be tested before it gets streams, because the whole card may be at fault.
  uint64_t alarms() const { return alarms_; }

  // Records that unit `unit` has just finished a batch that began at `start`. Returns how long the
  // unit worked on it, excluding the time that it spent on the previous batch.
  Duration Succeeded(int unit, TimePoint start);
  uint64_t successes() const { return successes_; }

  // Keeps a slot whose batch the card has not ended, because the card may still write to its
  // memory.
  void KeepStuck(std::unique_ptr<XrtBatchSlot> slot);
  // Returns whether unit `unit` still has such a batch.
  bool IsStuck(const OpenCard* open, int unit);

 private:
  // Opens the card and loads it. REQUIRES: no other thread opens a card.
  absl::StatusOr<std::shared_ptr<OpenCard>> OpenNow();
  // Returns the card. If it is not open, tries to open it, at increasing intervals. Returns null if
  // the card remains closed.
  std::shared_ptr<OpenCard> GetNowAndThen();
  void Complain(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int index_;
  const std::string name_;
  const std::string title_;  // such as "card 0"
  const std::shared_ptr<const XclbinFile> xclbin_;

  CardMetrics metrics_;
  CardSensors sensors_;
  std::atomic<uint64_t> alarms_ = 0;
  std::atomic<uint64_t> successes_ = 0;

  mutable Mutex mutex_;
  CardIdentity identity_ ABSL_GUARDED_BY(mutex_);
  bool identified_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<OpenCard> open_ ABSL_GUARDED_BY(mutex_);  // null while the card is not open
  std::string complaint_ ABSL_GUARDED_BY(mutex_);  // the last opening error that was logged
  std::vector<TimePoint> finished_ ABSL_GUARDED_BY(mutex_);  // end of each unit's last batch
  std::vector<std::unique_ptr<XrtBatchSlot>> stuck_ ABSL_GUARDED_BY(mutex_);
  Duration rest_ ABSL_GUARDED_BY(mutex_);  // see GetNowAndThen
  TimePoint next_try_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
