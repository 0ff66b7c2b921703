// SPDX-License-Identifier: Apache-2.0
#include "base/listen_socket.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/listen_address.h"
#include "base/status.h"

namespace ese {
namespace {

constexpr char kUnixPrefix[] = "unix:";
constexpr mode_t kUnixMode = 0660;
constexpr int kSocketFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

absl::Status CannotListen(const std::string& address, absl::string_view reason) {
  return absl::UnavailableError(
      absl::StrCat("cannot listen at ", address, ": ", reason, "; choose another address or port"));
}

absl::StatusOr<sockaddr_un> UnixAddress(absl::string_view path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path) ||
      path.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", kUnixPrefix, path, "\" does not name a unix socket; PATH must have 1 to ",
        sizeof(address.sun_path) - 1, " bytes"));
  }
  path.copy(address.sun_path, path.size());
  return address;
}

const sockaddr* Generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

void SetPort(addrinfo& info, int port) {
  if (info.ai_family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(info.ai_addr)->sin_port = htons(static_cast<uint16_t>(port));
  } else {
    reinterpret_cast<sockaddr_in6*>(info.ai_addr)->sin6_port = htons(static_cast<uint16_t>(port));
  }
}

int PortOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  // The port is at the same place in both families.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

// Returns no descriptor, and errno, if it is impossible to listen.
UniqueFd ListenAt(const addrinfo& info) {
  UniqueFd fd(::socket(info.ai_family, kSocketFlags, 0));
  if (!fd) return fd;
  const int on = 1;
  const int off = 0;
  // This lets the server start again while connections of its predecessor linger. Two servers still
  // cannot share a port.
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (info.ai_family == AF_INET6) {
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  if (::bind(fd.get(), info.ai_addr, info.ai_addrlen) == 0 && ::listen(fd.get(), SOMAXCONN) == 0) {
    return fd;
  }
  const int reason = errno;
  fd.Reset();
  errno = reason;
  return fd;
}

// The file of a dead server's socket keeps a new one from listening there. Removes it; refuses to
// remove anything else.
absl::Status RemoveStaleSocket(const std::string& path, const sockaddr_un& address) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) return absl::OkStatus();
  const std::string text = absl::StrCat(kUnixPrefix, path);
  if (!S_ISSOCK(found.st_mode)) {
    return CannotListen(text, "the file exists and is not a socket");
  }
  const UniqueFd probe(::socket(AF_UNIX, kSocketFlags, 0));
  if (!probe) return CannotListen(text, std::strerror(errno));
  if (::connect(probe.get(), Generic(address), sizeof(address)) == 0 || errno != ECONNREFUSED) {
    return CannotListen(text, "another server uses this socket");
  }
  ::unlink(path.c_str());
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckListenAddress(absl::string_view address) {
  if (absl::ConsumePrefix(&address, kUnixPrefix)) return UnixAddress(address).status();
  return ParseListenAddress(address).status();
}

bool LacksResources(int accept_error) {
  return accept_error == EMFILE || accept_error == ENFILE || accept_error == ENOBUFS ||
         accept_error == ENOMEM;
}

absl::StatusOr<ListenSockets> ListenSockets::Open(const std::string& address) {
  ListenSockets sockets;
  absl::string_view path = address;
  ESE_RETURN_IF_ERROR(absl::ConsumePrefix(&path, kUnixPrefix) ? sockets.OpenUnix(std::string(path))
                                                              : sockets.OpenTcp(address));
  return sockets;
}

absl::Status ListenSockets::OpenTcp(const std::string& address) {
  ESE_ASSIGN_OR_RETURN(const ListenAddress listen, ParseListenAddress(address));
  std::string host = listen.host;
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), absl::StrCat(listen.port).c_str(), &hints, &found);
  if (error != 0) return CannotListen(address, ::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  int port = listen.port;
  int reason = EADDRNOTAVAIL;
  for (addrinfo* info = found; info != nullptr; info = info->ai_next) {
    if (info->ai_family != AF_INET && info->ai_family != AF_INET6) continue;
    SetPort(*info, port);
    UniqueFd fd = ListenAt(*info);
    if (!fd) {
      reason = errno;
      // A machine may lack one of the families, but no address may belong to another server.
      if (reason == EADDRINUSE) return CannotListen(address, std::strerror(reason));
      continue;
    }
    port = PortOf(fd.get());
    sockets_.push_back(std::move(fd));
  }
  if (sockets_.empty()) return CannotListen(address, std::strerror(reason));
  address_ = absl::StrCat(listen.host, ":", port);
  return absl::OkStatus();
}

absl::Status ListenSockets::OpenUnix(const std::string& path) {
  ESE_ASSIGN_OR_RETURN(const sockaddr_un address, UnixAddress(path));
  address_ = absl::StrCat(kUnixPrefix, path);
  ESE_RETURN_IF_ERROR(RemoveStaleSocket(path, address));
  UniqueFd fd(::socket(AF_UNIX, kSocketFlags, 0));
  if (!fd) return CannotListen(address_, std::strerror(errno));
  // The file that bind makes inherits this mode, so nobody else can connect before chmod.
  ::fchmod(fd.get(), kUnixMode);
  if (::bind(fd.get(), Generic(address), sizeof(address)) != 0) {
    return CannotListen(address_, std::strerror(errno));
  }
  struct stat made {};
  if (::lstat(path.c_str(), &made) == 0) {
    path_ = path;
    device_ = made.st_dev;
    inode_ = made.st_ino;
  }
  // The umask may have taken the group's permission away.
  if (::chmod(path.c_str(), kUnixMode) != 0 || ::listen(fd.get(), SOMAXCONN) != 0) {
    return CannotListen(address_, std::strerror(errno));
  }
  sockets_.push_back(std::move(fd));
  return absl::OkStatus();
}

ListenSockets::~ListenSockets() {
  struct stat found {};
  if (path_.empty() || sockets_.empty() || ::lstat(path_.c_str(), &found) != 0) return;
  if (found.st_dev == device_ && found.st_ino == inode_) ::unlink(path_.c_str());
}

}  // namespace ese
