// SPDX-License-Identifier: Apache-2.0
// What an emulated card's sensors read: a model, not a measurement.
#pragma once

#include <chrono>
#include <mutex>

#include "accel/card/cycle_formula.h"

namespace ese::emu {

inline constexpr double kIdleWatts = 20;
// Of one compute unit that multiplies 32 x 64 products a cycle at 200 MHz: the whole card of the
// ESE paper.
inline constexpr double kPaperWatts = 41;
inline constexpr double kJoulesPerProduct =
    (kPaperWatts - kIdleWatts) / (kCardMegahertz * 1e6 * 32 * 64);
// Over PCIe: 15 pJ a bit.
inline constexpr double kJoulesPerByte = 15e-12 * 8;

inline constexpr double kVolts = 12;  // all of its power comes from there
inline constexpr int kDegrees = 45;
inline constexpr int kDegreesWhenHot = 105;
// The clock is divided by this while it is hot.
inline constexpr int kThrottle = 2;

// Idle watts, and energy for each product and each byte moved. Thread-safe.
class PowerModel {
 public:
  void AddProducts(double products) { Add(products * kJoulesPerProduct); }
  void AddBytes(double bytes) { Add(bytes * kJoulesPerByte); }

  // Since the last call, or since the one before if that was just now.
  double Watts() {
    const std::lock_guard lock(mutex_);
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
    const std::lock_guard lock(mutex_);
    joules_ += joules;
  }

  std::mutex mutex_;
  // Guarded by mutex_.
  double joules_ = 0;  // over the idle card's
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  double watts_ = kIdleWatts;
};

}  // namespace ese::emu
