// SPDX-License-Identifier: Apache-2.0
// The sockets at which the server listens: TCP over IPv4 and IPv6, or a unix socket.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace ese {

// OK if `address` is HOST:PORT (base/listen_address.h) or unix:PATH; otherwise INVALID_ARGUMENT.
absl::Status CheckListenAddress(absl::string_view address);

// Returns whether accept failed for lack of something that may come back. The other errors belong
// to the connection that was about to be accepted, and the next one may work.
bool LacksResources(int accept_error);

// Listening sockets of one address. Not thread-safe.
class ListenSockets {
 public:
  // `address` is HOST:PORT or unix:PATH. A host that has several addresses, such as "localhost",
  // gets a socket for each, all with the same port. [::] also takes IPv4 connections.
  //
  // A unix socket gets mode 0660. If PATH is the socket of a server that has ended, it is replaced.
  //
  // UNAVAILABLE: it is impossible to listen there; for example, another server does.
  static absl::StatusOr<ListenSockets> Open(const std::string& address);
  // Removes the file of the unix socket, unless another process has replaced it.
  ~ListenSockets();
  ListenSockets(ListenSockets&&) = default;
  ListenSockets& operator=(ListenSockets&&) = delete;

  // The sockets do not block.
  const std::vector<UniqueFd>& sockets() const { return sockets_; }
  // The address for clients: HOST:PORT with the actual port, or unix:PATH.
  const std::string& address() const { return address_; }

 private:
  ListenSockets() = default;

  absl::Status OpenTcp(const std::string& address);
  absl::Status OpenUnix(const std::string& path);

  std::string address_;
  std::vector<UniqueFd> sockets_;
  // The file of the unix socket and its identity.
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace ese
