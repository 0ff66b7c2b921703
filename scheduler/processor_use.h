// SPDX-License-Identifier: Apache-2.0
// How much of its processors this process uses: threads, gRPC and the kernel's work for it, which
// the channels' own figures do not tell.
#pragma once

#include <deque>

#include "base/clock.h"

namespace ese {

// What a process has of the machine. Injected, as the clock is. Thread-safe.
class ProcessorBudget {
 public:
  virtual ~ProcessorBudget() = default;
  // Processors that it may use.
  virtual double processors() const = 0;
  // Processor time of all its threads so far.
  virtual Duration Taken() const = 0;

  // This process's, which lives for ever (base/processors.h).
  static const ProcessorBudget* Process();
};

// The budget's use in the last kWindow. Not thread-safe.
class ProcessorUse {
 public:
  static constexpr Duration kWindow = std::chrono::milliseconds(250);

  // `budget` must outlive it; null: the use is 0.
  explicit ProcessorUse(const ProcessorBudget* budget) : budget_(budget) {}

  // Reads the processor time, unless it did so of late: to be called often while there is work.
  // Returns the part of the budget that was used, 0 to about 1.
  double Share(TimePoint now);

 private:
  struct Reading {
    TimePoint at;
    Duration taken;
  };

  const ProcessorBudget* const budget_;
  std::deque<Reading> readings_;  // oldest first
};

}  // namespace ese
