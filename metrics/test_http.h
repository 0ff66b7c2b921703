// SPDX-License-Identifier: Apache-2.0
// HTTP clients for tests of /metrics.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace ese {

// Connects the IPv4 socket `fd` to the port of `address`.
inline void ConnectToLoopback(int fd, const std::string& address) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0) << std::strerror(errno);
}

// The caller closes the socket.
inline int ConnectToLoopback(const std::string& address) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  ConnectToLoopback(fd, address);
  return fd;
}

// Returns what the server sends until it closes the connection.
inline std::string ReadAll(int fd) {
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;) answer.append(buffer, n);
  return answer;
}

inline void Send(int fd, const std::string& request) {
  EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
}

// Returns all that the server answers to `request` until it closes the connection.
inline std::string Exchange(const std::string& address, const std::string& request) {
  const int fd = ConnectToLoopback(address);
  Send(fd, request);
  const std::string answer = ReadAll(fd);
  close(fd);
  return answer;
}

inline std::string HttpGet(const std::string& address, const std::string& path) {
  return Exchange(address, absl::StrCat("GET ", path, " HTTP/1.0\r\nHost: localhost\r\n\r\n"));
}

}  // namespace ese
