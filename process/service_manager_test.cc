// SPDX-License-Identifier: Apache-2.0
#include "process/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::StartsWith;

// Receives as systemd does.
class Manager {
 public:
  explicit Manager(std::string address) : socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    setenv("NOTIFY_SOCKET", address.c_str(), 1);
    if (address[0] == '@') address[0] = '\0';
    sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = {}};
    std::memcpy(name.sun_path, address.data(), address.size());
    const size_t length = offsetof(sockaddr_un, sun_path) + address.size();
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&name), static_cast<socklen_t>(length)), 0);
  }
  ~Manager() {
    close(socket_);
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }

  // The message that has arrived, or "".
  std::string Message() const {
    char text[200];
    const ssize_t n = recv(socket_, text, sizeof text, MSG_DONTWAIT);
    return std::string(text, n > 0 ? static_cast<size_t>(n) : 0);
  }

 private:
  const int socket_;
};

std::string Abstract() { return absl::StrCat("@ese_service_manager_test_", getpid()); }

TEST(ServiceManager, SendsEachStateAsADatagram) {
  const std::string path = absl::StrCat(testing::TempDir(), "ese_notify_", getpid());
  for (const std::string& address : {Abstract(), path}) {
    SCOPED_TRACE(address);
    const Manager manager(address);
    const ServiceManager ours;
    ours.Ready();
    EXPECT_EQ(manager.Message(), "READY=1");
    ours.Reloading();
    EXPECT_THAT(manager.Message(), StartsWith("RELOADING=1\nMONOTONIC_USEC="));
    ours.Stopping();
    EXPECT_EQ(manager.Message(), "STOPPING=1");
    ours.Alive();
    EXPECT_EQ(manager.Message(), "WATCHDOG=1");
  }
  unlink(path.c_str());
}

TEST(ServiceManager, TheWatchdogIsOnlyForTheProcessThatItNames) {
  const Manager manager(Abstract());
  EXPECT_EQ(ServiceManager().watchdog(), std::nullopt);
  setenv("WATCHDOG_USEC", "2500000", 1);
  EXPECT_EQ(ServiceManager().watchdog(), std::chrono::milliseconds(2500));
  setenv("WATCHDOG_PID", absl::StrCat(getpid()).c_str(), 1);
  EXPECT_EQ(ServiceManager().watchdog(), std::chrono::milliseconds(2500));
  setenv("WATCHDOG_PID", absl::StrCat(getpid() + 1).c_str(), 1);
  EXPECT_EQ(ServiceManager().watchdog(), std::nullopt);
  setenv("WATCHDOG_PID", "", 1);
  for (const char* wrong : {"0", "-1", "x", ""}) {
    setenv("WATCHDOG_USEC", wrong, 1);
    EXPECT_EQ(ServiceManager().watchdog(), std::nullopt) << wrong;
  }
}

TEST(ServiceManager, NeverWaitsForAManagerThatDoesNotRead) {
  const Manager manager(Abstract());
  const ServiceManager ours;
  for (int i = 0; i < 100'000; ++i) ours.Alive();
  EXPECT_EQ(manager.Message(), "WATCHDOG=1");
}

TEST(ServiceManager, DoesNothingWithoutAManager) {
  unsetenv("NOTIFY_SOCKET");
  ServiceManager().Ready();
  setenv("NOTIFY_SOCKET", std::string(200, 'x').c_str(), 1);
  ServiceManager().Ready();
  unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace ese
