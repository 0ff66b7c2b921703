// SPDX-License-Identifier: Apache-2.0
// For tests that wait for other threads or processes.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace ese {

// Polls until `condition` holds. Returns false after half a minute.
inline bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace ese
