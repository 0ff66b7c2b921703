// SPDX-License-Identifier: Apache-2.0
// The sensor readings of an emulated card. They come from a model, not from a measurement.
#pragma once

#include <chrono>

#include "accel/card/cycle_formula.h"
#include "base/mutex.h"

namespace ese::emu {

inline constexpr double kIdleWatts = 20;
// The power of the ESE paper's whole card, which equals one compute unit that computes 32 x 64
// products per cycle at 200 MHz.
inline constexpr double kPaperWatts = 41;
inline constexpr double kJoulesPerProduct =
    (kPaperWatts - kIdleWatts) / (kCardMegahertz * 1e6 * 32 * 64);
// PCIe takes 15 pJ per bit.
inline constexpr double kJoulesPerByte = 15e-12 * 8;

inline constexpr double kVolts = 12;  // the only rail
inline constexpr int kDegrees = 45;
inline constexpr int kDegreesWhenHot = 105;
// Divides the clock while the card is hot.
inline constexpr int kThrottle = 2;

// Adds energy for each product and each byte moved to the idle power. Thread-safe.
class PowerModel {
 public:
  void AddProducts(double products) { Add(products * kJoulesPerProduct); }
  void AddBytes(double bytes) { Add(bytes * kJoulesPerByte); }

  // The average since the last call; a call within 0.1 s of it returns the same value again.
  double Watts() {
    const MutexLock lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - since_).count();
    constexpr double kLeastSeconds = 0.1;
    if (seconds >= kLeastSeconds) {
      watts_ = kIdleWatts + joules_ / seconds;
      joules_ = 0;
      since_ = now;
    }
    return watts_;
  }

 private:
  void Add(double joules) {
    const MutexLock lock(mutex_);
    joules_ += joules;
  }

  Mutex mutex_;
  double joules_ ABSL_GUARDED_BY(mutex_) = 0;  // above those of the idle card
  std::chrono::steady_clock::time_point since_ ABSL_GUARDED_BY(mutex_) =
      std::chrono::steady_clock::now();
  double watts_ ABSL_GUARDED_BY(mutex_) = kIdleWatts;
};

}  // namespace ese::emu
