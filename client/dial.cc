// SPDX-License-Identifier: Apache-2.0
#include "client/dial.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {
namespace {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

absl::StatusOr<SocketAddress> UnixAddress(const std::string& path) {
  SocketAddress address;
  auto* out = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.size() >= sizeof(out->sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("unix:", path, ": the path of this socket is too long; choose a shorter one"));
  }
  out->sun_family = AF_UNIX;
  std::memcpy(out->sun_path, path.data(), path.size());
  address.size = sizeof(sockaddr_un);
  return address;
}

absl::StatusOr<SocketAddress> Resolve(const std::string& address) {
  if (absl::StartsWith(address, "unix:")) return UnixAddress(address.substr(5));
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(address, " has no port; give HOST:PORT"));
  }
  std::string host = address.substr(0, colon);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) {
    return absl::NotFoundError(
        absl::StrCat(address, ": ", gai_strerror(error), "; check the address (--server)"));
  }
  SocketAddress result;
  std::memcpy(&result.storage, found->ai_addr, found->ai_addrlen);
  result.size = found->ai_addrlen;
  freeaddrinfo(found);
  return result;
}

// Waits for the connection. Returns its error, or DEADLINE_EXCEEDED after `timeout`.
absl::Status AwaitConnected(int fd, const std::string& address, Duration timeout) {
  pollfd wait = {fd, POLLOUT, 0};
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count();
  if (poll(&wait, 1, static_cast<int>(ms)) <= 0) {
    return absl::DeadlineExceededError(
        absl::StrCat("no connection to ", address, " within ", ToSeconds(timeout), " s"));
  }
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("nothing listens at ", address, " (", std::strerror(error), ")"));
}

}  // namespace

absl::StatusOr<UniqueFd> DialSocket(const std::string& address, Duration timeout) {
  ESE_ASSIGN_OR_RETURN(const SocketAddress to, Resolve(address));
  UniqueFd fd(socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) {
    return absl::ErrnoToStatus(errno, "socket; raise the limit of open files (ulimit -n)");
  }
  const int on = 1;
  if (to.storage.ss_family != AF_UNIX) {
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to.storage), to.size) == 0) return fd;
  if (errno != EINPROGRESS) {
    return absl::UnavailableError(
        absl::StrCat("nothing listens at ", address, " (", std::strerror(errno), ")"));
  }
  ESE_RETURN_IF_ERROR(AwaitConnected(fd.get(), address, timeout));
  return fd;
}

}  // namespace ese
