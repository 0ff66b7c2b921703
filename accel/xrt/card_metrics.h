// SPDX-License-Identifier: Apache-2.0
// The metrics of one card; its sensors' are in card_sensors.h.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>
#include <string>

#include "metrics/registry.h"

namespace ese {

// What goes wrong with cards.
enum class CardFault {
  kOpen,        // it cannot be opened or loaded
  kGone,        // it was lost while in use
  kMemory,      // it has no room for the model or a batch
  kTransfer,    // XRT failed to move a buffer
  kStart,       // XRT failed to start a batch
  kHang,        // a unit did not end a batch in time
  kErrorState,  // XRT ended a batch in another state than completed
  kKernel,      // the kernel's status record has an error
  kChecksum,    // a bit of the results flipped on the way
  kHot,         // it got too hot
  kSensor,      // a sensor that could be read cannot any more
};
inline constexpr size_t kCardFaults = 11;

const char* NameOf(CardFault fault);  // the label `kind`: "gone", "error_state"

// Who a card is.
struct CardIdentity {
  int index = 0;
  std::string bdf = "unknown";  // PCI address, known once it has been opened
  std::string name = "unknown";
  std::string serial;  // empty: it has none
};

// The label `source` of what its sensors say: "model" for an emulated card, else "xrt".
const char* SourceOf(const CardIdentity& card);
Labels LabelsOf(const CardIdentity& card);  // card, bdf

// Thread-safe.
class CardMetrics {
 public:
  // `registry` may be null, and must outlive it.
  CardMetrics(MetricsRegistry* registry, const CardIdentity& card);

  // Now that it is known better. What was counted under the former name starts anew.
  void Identify(const CardIdentity& card);

  void Count(CardFault fault);    // ese_card_faults_total{kind}
  void Opened();                  // ese_card_opens_total, ese_card_up 1
  void Lost();                    // ese_card_up 0
  void SetHot(bool hot);          // ese_card_too_hot
  void AddJoules(double joules);  // ese_card_joules_total{source}

 private:
  MetricsRegistry* const registry_;
  std::mutex mutex_;
  // Guarded by mutex_; null without a registry.
  std::array<Counter*, kCardFaults> faults_{};
  Counter* opens_ = nullptr;
  Gauge* up_ = nullptr;
  Gauge* hot_ = nullptr;
  Counter* joules_ = nullptr;
  Labels labels_;
};

}  // namespace ese
