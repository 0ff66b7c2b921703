// SPDX-License-Identifier: Apache-2.0
// The metrics of one card, except those of its sensors, which are in card_collectable.h.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "base/mutex.h"
#include "metrics/registry.h"

namespace ese {

// The kinds of faults that are counted.
enum class CardFault {
  kOpen,        // the card cannot be opened or loaded
  kGone,        // the card was lost while in use
  kMemory,      // the card has no room for the model or a batch
  kTransfer,    // XRT failed to transfer a buffer
  kStart,       // XRT failed to start a batch
  kHang,        // a compute unit did not end a batch in time
  kErrorState,  // XRT ended a batch in a state other than completed
  kKernel,      // the kernel's status record has an error
  kChecksum,    // a bit of the results flipped on the way
  kHot,         // the card is too hot
  kSensor,      // a sensor that could be read no longer can
};
inline constexpr size_t kCardFaults = 11;

const char* NameOf(CardFault fault);  // the label `kind`: "gone", "error_state"

// What identifies a card.
struct CardIdentity {
  int index = 0;
  std::string bdf = "unknown";  // PCI address, known once the card has been opened
  std::string name = "unknown";
  std::string serial;  // empty if XRT reports none
};

// The label `source` of sensor readings: "model" for an emulated card, else "xrt".
const char* SourceOf(const CardIdentity& card);
// The label `component` of power and energy, such as "card-0".
std::string ComponentOf(const CardIdentity& card);
Labels LabelsOf(const CardIdentity& card);  // card, bdf

// Thread-safe.
class CardMetrics {
 public:
  // `registry` may be null, and must outlive this.
  CardMetrics(MetricsRegistry* registry, const CardIdentity& card);

  // Changes the labels when more is known about the card. Its counters start again from 0.
  void Identify(const CardIdentity& card);

  void Count(CardFault fault);    // ese_card_faults_total{kind}
  void Opened();                  // ese_card_opens_total, ese_card_up 1
  void Lost();                    // ese_card_up 0
  void SetHot(bool hot);          // ese_card_too_hot
  void AddJoules(double joules);  // ese_energy_joules_total{component,source}

 private:
  MetricsRegistry* const registry_;
  Mutex mutex_;
  // The pointers are null without a registry.
  std::array<Counter*, kCardFaults> faults_ ABSL_GUARDED_BY(mutex_){};
  Counter* opens_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Gauge* up_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Gauge* hot_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Counter* joules_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Labels labels_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
