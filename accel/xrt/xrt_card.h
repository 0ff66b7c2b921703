// SPDX-License-Identifier: Apache-2.0
// One card: opened, lost and opened again; what its channels share.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "accel/xrt/card_metrics.h"
#include "accel/xrt/card_sensors.h"
#include "accel/xrt/xclbin_file.h"
#include "accel/xrt/xrt_cards.h"
#include "base/clock.h"
#include "xrt/xrt_device.h"
#include "xrt/xrt_kernel.h"

namespace ese {

class XrtPlace;

// XRT's objects of a card from when it is opened until it is lost; then they are of no more use,
// and all of them have to go. Thread-safe.
struct OpenCard {
  struct Unit {
    xrt::kernel kernel;
    xrt::memory_group group = 0;  // the memory that it can reach: units need not share any
  };
  xrt::device device;
  std::vector<Unit> units;
  std::atomic<bool> lost = false;
};

// Who the card is; from XRT.
absl::StatusOr<CardIdentity> Identify(int index, const xrt::device& device);
// UNAVAILABLE unless the binary interface of that version of XRT is the one that is used here.
absl::Status CheckXrtVersion(const std::string& version);
// Number of cards. UNAVAILABLE: no XRT, or one of another version.
absl::StatusOr<int> CountXrtCards();

// Thread-safe.
class XrtCard {
 public:
  // `metrics` may be null, and must outlive it.
  XrtCard(int index, std::shared_ptr<const XclbinFile> xclbin, const XrtOptions& options,
          MetricsRegistry* metrics);
  ~XrtCard();

  // The card, opened if it is not open. UNAVAILABLE at once while another thread opens a card: no
  // card waits for another one that does not answer.
  absl::StatusOr<std::shared_ptr<OpenCard>> Get();

  const std::string& name() const { return name_; }  // xrt0
  int units() const { return static_cast<int>(xclbin_->units.size()); }
  CardSensors& sensors() { return sensors_; }
  // For sensors(). NOT_FOUND while the card is not open; now and then it is tried to be opened, as
  // nobody else does that while there are no batches. A card that does not answer any more is lost.
  // May take as long as the driver likes.
  absl::StatusOr<SensorReadings> ReadSensors();
  // As known so far.
  CardIdentity identity() const;

  // A batch has failed, on a place that worked until then if `first`. Counts it, and finds out
  // whether the card is gone.
  void Report(OpenCard* open, CardFault fault, const absl::Status& status, bool first);
  // The card is of no use any more as it is open now; logged, once, with the reason.
  void Lose(OpenCard* open, const std::string& reason);
  // Grows with each fault of a place that worked until then. A place that sees it grow should be
  // tested before it gets streams: what is wrong may be the whole card.
  uint64_t alarms() const { return alarms_; }

  // A batch of unit `unit`, begun at `start`, is finished now: returns the time that the unit has
  // had it, not that of the batch before it.
  Duration Succeeded(int unit, TimePoint start);
  uint64_t successes() const { return successes_; }

  // Keeps a place whose batch the card has not ended: its memory may still be written.
  void KeepStuck(std::unique_ptr<XrtPlace> place);
  // Whether unit `unit` has not ended all of those.
  bool IsStuck(const OpenCard* open, int unit);

 private:
  // Opens the card and loads it. REQUIRES: no other thread opens one.
  absl::StatusOr<std::shared_ptr<OpenCard>> OpenNow();
  // The card; if it is not open, an attempt to open it, less and less often. Null if that fails.
  std::shared_ptr<OpenCard> GetNowAndThen();
  void Complain(const absl::Status& status);  // REQUIRES: mutex_

  const int index_;
  const std::string name_;
  const std::string title_;  // card 0
  const std::shared_ptr<const XclbinFile> xclbin_;

  CardMetrics metrics_;
  CardSensors sensors_;
  std::atomic<uint64_t> alarms_ = 0;
  std::atomic<uint64_t> successes_ = 0;

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  CardIdentity identity_;
  bool identified_ = false;
  std::shared_ptr<OpenCard> open_;   // null: not open
  std::string complaint_;            // the last one about opening that was logged
  std::vector<TimePoint> finished_;  // of each unit: when its last batch was
  std::vector<std::unique_ptr<XrtPlace>> stuck_;
  Duration rest_;  // see GetNowAndThen
  TimePoint next_try_;
};

}  // namespace ese
