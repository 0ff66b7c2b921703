// SPDX-License-Identifier: Apache-2.0
#include "base/listen_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ese {

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text) {
  const auto colon = text.rfind(':');
  ListenAddress address;
  const bool split = colon != absl::string_view::npos && colon > 0;
  const bool ok = split && absl::SimpleAtoi(text.substr(colon + 1), &address.port) &&
                  address.port >= 0 && address.port <= 65535;
  if (ok) address.host = std::string(text.substr(0, colon));
  const bool bare_ipv6 = address.host.find(':') != std::string::npos &&
                         (address.host.front() != '[' || address.host.back() != ']');
  const bool list = address.host.find(',') != std::string::npos;
  if (!ok || bare_ipv6 || list) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text,
                     "\" is not HOST:PORT; write for example 127.0.0.1:7700 or [::1]:7700 (port 0 "
                     "takes a free one)"));
  }
  return address;
}

absl::StatusOr<int> Listen(const ListenAddress& address) {
  const std::string text = absl::StrCat(address.host, ":", address.port);
  const auto refuse = [&text](absl::string_view reason) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen at ", text, ": ", reason, "; choose another address or port"));
  };
  std::string host = address.host;
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), absl::StrCat(address.port).c_str(), &hints, &found);
  if (error != 0) return refuse(::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  const int fd = ::socket(found->ai_family, found->ai_socktype, found->ai_protocol);
  if (fd < 0) return refuse(std::strerror(errno));
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const bool ok =
      ::bind(fd, found->ai_addr, found->ai_addrlen) == 0 && ::listen(fd, SOMAXCONN) == 0;
  if (ok) return fd;
  const int reason = errno;
  ::close(fd);
  return refuse(std::strerror(reason));
}

absl::Status TryListen(const ListenAddress& address) {
  const absl::StatusOr<int> fd = Listen(address);
  if (fd.ok()) ::close(*fd);
  return fd.status();
}

}  // namespace ese
