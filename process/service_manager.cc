// SPDX-License-Identifier: Apache-2.0
#include "process/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ese {
namespace {

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::optional<Duration> WatchdogInterval() {
  int64_t microseconds = 0, process = 0;
  if (!absl::SimpleAtoi(Variable("WATCHDOG_USEC"), &microseconds) || microseconds <= 0) return {};
  const std::string pid = Variable("WATCHDOG_PID");  // empty means whoever reads it
  if (!pid.empty() && (!absl::SimpleAtoi(pid, &process) || process != ::getpid())) return {};
  return std::chrono::microseconds(microseconds);
}

}  // namespace

ServiceManager::ServiceManager() : address_(Variable("NOTIFY_SOCKET")) {
  if (address_.empty() || address_.size() >= sizeof(sockaddr_un::sun_path)) {
    address_.clear();
    return;
  }
  if (address_[0] == '@') address_[0] = '\0';  // an abstract address
  socket_.Reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  watchdog_ = WatchdogInterval();
}

void ServiceManager::Reloading() const {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  Send(absl::StrCat("RELOADING=1\nMONOTONIC_USEC=",
                    std::chrono::duration_cast<std::chrono::microseconds>(now).count()));
}

void ServiceManager::Send(absl::string_view message) const {
  if (!socket_) return;
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  std::memcpy(address.sun_path, address_.data(), address_.size());
  const size_t length = offsetof(sockaddr_un, sun_path) + address_.size();
  // Nobody needs to know whether it arrived: the manager has timeouts of its own.
  (void)sendto(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(length));
}

}  // namespace ese
