// SPDX-License-Identifier: Apache-2.0
// Faults of emulated cards, which a file switches on and off at run time (docs/cards.md).
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"

namespace ese::emu {

enum class Fault {
  // Faults of a compute unit.
  kHang,         // batches do not end
  kError,        // batches end in XRT's error state
  kFlip,         // a bit of the results flips
  kKernelError,  // the kernel ends batches with an error code
  // Faults of a card.
  kDma,         // transfers fail
  kGone,        // the card has fallen off the bus
  kSensor,      // sensors cannot be read
  kHot,         // the card is at 105 degrees and halves its clock
  kPermission,  // this user may not open it
  kBusy,        // another program has an xclbin on it
};

inline constexpr int kAny = -1;

struct FaultRule {
  int card = kAny;
  int unit = kAny;
  Fault fault = Fault::kHang;
  uint32_t code = 0;  // the kernel's, for kKernelError
};

// Parses one rule per line: CARD[.UNIT] FAULT, or CARD[.UNIT] kernel CODE. CARD and UNIT are
// numbers from 0, or *; without UNIT the rule holds for all units. A # begins a comment. An invalid
// line is ignored and adds a message to *complaints.
std::vector<FaultRule> ParseFaults(const std::string& text, std::vector<std::string>* complaints);

// A file of rules, read again when it changes. A missing file holds no rules. Thread-safe.
class FaultFile {
 public:
  // With an empty path there are never faults.
  explicit FaultFile(std::string path) : path_(std::move(path)) {}

  bool Has(Fault fault, int card, int unit = kAny) { return Find(fault, card, unit).has_value(); }
  // Returns the rule that now gives this fault to the card or to its unit `unit`, if there is one.
  std::optional<FaultRule> Find(Fault fault, int card, int unit = kAny);

 private:
  void ReadIfChanged() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  Mutex mutex_;
  struct stat seen_ ABSL_GUARDED_BY(mutex_) = {};
  bool may_change_unseen_ ABSL_GUARDED_BY(mutex_) = true;
  std::string text_ ABSL_GUARDED_BY(mutex_);
  std::vector<FaultRule> rules_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese::emu
