// SPDX-License-Identifier: Apache-2.0
// Tells the service manager (systemd, or another with its protocol) how the server is: datagrams to
// the socket that NOTIFY_SOCKET names. Without that variable, nothing is sent.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/unique_fd.h"

namespace ese {

// Thread-safe. No function waits: a message that the socket does not take at once is dropped.
class ServiceManager {
 public:
  // Reads the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
  ServiceManager();

  void Ready() const { Send("READY=1"); }
  void Reloading() const;  // until Ready
  void Stopping() const { Send("STOPPING=1"); }
  void Alive() const { Send("WATCHDOG=1"); }

  // The manager ends the server if Alive is not called within this time; nothing if it does not
  // watch.
  std::optional<Duration> watchdog() const { return watchdog_; }

 private:
  void Send(absl::string_view message) const;

  std::string address_;  // as the kernel takes it; empty means none
  UniqueFd socket_;
  std::optional<Duration> watchdog_;
};

}  // namespace ese
