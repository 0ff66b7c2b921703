// SPDX-License-Identifier: Apache-2.0
// Faults of emulated cards, switched on and off at run time by a file (docs/cards.md).
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ese::emu {

enum class Fault {
  // Of a compute unit.
  kHang,         // batches do not end
  kError,        // they end in XRT's error state
  kFlip,         // a bit of the results flips
  kKernelError,  // the kernel ends them with an error code
  // Of a card.
  kDma,         // transfers fail
  kGone,        // it has fallen off the bus
  kSensor,      // sensors cannot be read
  kHot,         // it is at 105 degrees and halves its clock
  kPermission,  // this user may not open it
  kBusy,        // another program has an xclbin on it
};

inline constexpr int kAny = -1;

struct FaultRule {
  int card = kAny;
  int unit = kAny;
  Fault fault = Fault::kHang;
  uint32_t code = 0;  // of kKernelError
};

// One rule a line: CARD[.UNIT] FAULT, or CARD[.UNIT] kernel CODE. CARD and UNIT are numbers from 0
// or *; no UNIT is all of them. A # begins a comment. A line that is not understood is left out,
// and *complaints has one more message.
std::vector<FaultRule> ParseFaults(const std::string& text, std::vector<std::string>* complaints);

// A file of rules, read again when it has changed. A file that is not there has none. Thread-safe.
class FaultFile {
 public:
  // An empty path: never a fault.
  explicit FaultFile(std::string path) : path_(std::move(path)) {}

  bool Has(Fault fault, int card, int unit = kAny) { return Find(fault, card, unit).has_value(); }
  // The rule that makes unit `unit` of card `card`, or the card, have this fault now.
  std::optional<FaultRule> Find(Fault fault, int card, int unit = kAny);

 private:
  void ReadIfChanged();  // REQUIRES: mutex_

  const std::string path_;
  std::mutex mutex_;
  // Guarded by mutex_.
  struct stat seen_ = {};
  bool may_change_unseen_ = true;
  std::string text_;
  std::vector<FaultRule> rules_;
};

}  // namespace ese::emu
