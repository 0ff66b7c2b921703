// SPDX-License-Identifier: Apache-2.0
// How much of its processors this process uses. Unlike the channels' costs, this includes threads,
// gRPC and the operating system's work for the process.
#pragma once

#include <deque>

#include "base/clock.h"

namespace ese {

// How many processors a process may use, and how much processor time it has used. Injected like
// the clock. Thread-safe.
class ProcessorBudget {
 public:
  virtual ~ProcessorBudget() = default;
  // How many processors the process may use.
  virtual double processors() const = 0;
  // The processor time of all its threads so far.
  virtual Duration Taken() const = 0;

  // The budget of this process (base/processors.h). Never destroyed.
  static const ProcessorBudget* Process();
};

// The share of the budget that was used in the last kWindow. Not thread-safe.
class ProcessorUse {
 public:
  static constexpr Duration kWindow = std::chrono::milliseconds(250);

  // `budget` must outlive this object. If it is null, the share is always 0.
  explicit ProcessorUse(const ProcessorBudget* budget) : budget_(budget) {}

  // Returns the share of the budget that was used, 0 to about 1. Reads the processor time unless it
  // was read very recently, so call this often while there is work.
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
