// SPDX-License-Identifier: Apache-2.0
#include "server/connection.h"

#include <arpa/inet.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/connection_table.h"

namespace ese {
namespace {

// What the peer sends besides the content: headers of a call, frames and records of TLS around a
// message, and the window updates for a message that it receives.
constexpr int64_t kBytesOfACall = 16 << 10;
constexpr int64_t kBytesAroundAMessage = 128;
constexpr int64_t kContentPerFraming = 16;  // a TLS record and a frame add less than 1/16

// Returns how many bytes have come; 0 if the system does not tell.
int64_t ReceivedBytes(int socket) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return static_cast<int64_t>(info.tcpi_bytes_received);
}

Peer Ipv4Peer(const in_addr& address, in_port_t port) {
  char text[INET_ADDRSTRLEN] = "";
  ::inet_ntop(AF_INET, &address, text, sizeof(text));
  return {.name = absl::StrCat("ipv4:", text, ":", ntohs(port)),
          .host = std::string(reinterpret_cast<const char*>(&address), sizeof(address))};
}

}  // namespace

// gRPC gives the other end as a URI. A name that it spells in another way is not found, so calls
// would not be counted; a test compares them.
Peer Peer::Of(int socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  if (storage.ss_family == AF_INET) {
    const auto& ip = reinterpret_cast<const sockaddr_in&>(storage);
    return Ipv4Peer(ip.sin_addr, ip.sin_port);
  }
  if (storage.ss_family != AF_INET6) return {};
  const auto& ip = reinterpret_cast<const sockaddr_in6&>(storage);
  if (IN6_IS_ADDR_V4MAPPED(&ip.sin6_addr)) {
    in_addr mapped{};
    std::copy_n(&ip.sin6_addr.s6_addr[12], sizeof(mapped), reinterpret_cast<uint8_t*>(&mapped));
    return Ipv4Peer(mapped, ip.sin6_port);
  }
  char text[INET6_ADDRSTRLEN] = "";
  ::inet_ntop(AF_INET6, &ip.sin6_addr, text, sizeof(text));
  const std::string scope =
      ip.sin6_scope_id == 0 ? "" : absl::StrCat("%25", static_cast<uint32_t>(ip.sin6_scope_id));
  return {.name = absl::StrCat("ipv6:%5B", text, scope, "%5D:", ntohs(ip.sin6_port)),
          .host = std::string(reinterpret_cast<const char*>(&ip.sin6_addr), 8)};
}

Connection::Connection(UniqueFd duplicate, Peer peer, const ConnectionBudget& budget,
                       const ConnectionLimits* limits, ConnectionTable* table)
    : peer_(std::move(peer)),
      limits_(*limits),
      table_(*table),
      identified_(!peer_.name.empty()),
      idle_since_(Clock::Real()->Now()),
      socket_(std::move(duplicate)),
      budget_(budget) {}

void Connection::CallBegan() {
  ++open_calls_;
  granted_bytes_ += kBytesOfACall;
}

void Connection::CallEnded(bool was_useful, bool wasted) {
  const TimePoint now = Clock::Real()->Now();
  idle_since_ = now;
  if (was_useful) {
    --useful_calls_;
    // What was sent on the call and never read.
    if (!wasted) granted_bytes_ += static_cast<int64_t>(limits_.call_bytes);
  }
  --open_calls_;
  if (!wasted) return;
  table_.NoteWastedCall();
  if (limits_.wasted_calls <= 0 || !identified_) return;
  {
    const MutexLock lock(mutex_);
    budget_.wasted_calls.Count();
    if (budget_.wasted_calls.Left(now) >= 0) return;
  }
  table_.Close(*this, ConnectionTable::Reason::kWastedCalls);
}

void Connection::MessageRead(size_t bytes) {
  const auto size = static_cast<int64_t>(bytes);
  granted_bytes_ += size + size / kContentPerFraming + kBytesAroundAMessage;
}

void Connection::MessageWritten() { granted_bytes_ += kBytesAroundAMessage; }

bool Connection::CheckOverhead() {
  if (limits_.overhead_bytes <= 0 || !identified_) return true;
  const MutexLock lock(mutex_);
  if (!socket_ || closing_) return true;
  const int64_t received = ReceivedBytes(socket_.get());
  const int64_t granted = granted_bytes_;
  const int64_t overhead = (received - std::exchange(counted_bytes_, received)) -
                           (granted - std::exchange(counted_grants_, granted));
  budget_.overhead_bytes.Count(static_cast<double>(overhead));
  return budget_.overhead_bytes.Left(Clock::Real()->Now()) + open_calls_ * limits_.call_bytes >= 0;
}

void Connection::ShutDown() {
  const MutexLock lock(mutex_);
  closing_ = true;
  if (socket_) ::shutdown(socket_.get(), SHUT_RDWR);
}

void Connection::Forget(int epoll) {
  const MutexLock lock(mutex_);
  // Closing the duplicate does not remove it from the epoll as long as gRPC has the connection
  // open.
  if (socket_) ::epoll_ctl(epoll, EPOLL_CTL_DEL, socket_.get(), nullptr);
  socket_.Reset();
}

ConnectionBudget Connection::budget() {
  const MutexLock lock(mutex_);
  return budget_;
}

}  // namespace ese
