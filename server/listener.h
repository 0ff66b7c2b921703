// SPDX-License-Identifier: Apache-2.0
// Accepts connections and hands them to gRPC. gRPC's own listener stops for ever after one accept
// that fails, as it does when the process has no descriptor left; this one recovers.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/listen_socket.h"
#include "base/unique_fd.h"
#include "grpcpp/grpcpp.h"
#include "metrics/registry.h"
#include "server/connection_table.h"
#include "server/rate_limit.h"

namespace ese {

struct ListenerOptions {
  std::string address;           // HOST:PORT or unix:PATH
  int max_connections = 0;       // 0: as many as descriptors allow
  int max_accept_rate = 500;     // connections a second; also how many may come at once
  ConnectionLimits limits = {};  // of each connection
  // How often to look whether connections can be accepted again. They count as accepted again only
  // if none was refused for this long.
  Duration retry = std::chrono::milliseconds(500);
};

// The order of use is Open, AddTo, Start, Stop. accepting(), address() and IsAlive() are
// thread-safe.
class Listener {
 public:
  // Listens at the address and keeps clients waiting until Start. Raises the limit of descriptors
  // of the process. UNAVAILABLE: it is impossible to listen there. RESOURCE_EXHAUSTED: there are
  // not enough descriptors. `metrics` must outlive the listener; it gets ese_connections,
  // ese_connections_refused_total and ese_listener_accepting.
  static absl::StatusOr<std::unique_ptr<Listener>> Open(ListenerOptions options,
                                                        MetricsRegistry* metrics);
  // Calls Stop if nobody has.
  ~Listener();

  // Makes the server of `builder` serve this listener's connections with these credentials.
  void AddTo(grpc::ServerBuilder& builder, std::shared_ptr<grpc::ServerCredentials> credentials);
  // Begins to accept. REQUIRES: the gRPC server has been started, and will live until Stop.
  // RESOURCE_EXHAUSTED: descriptors do not suffice for the connections that were asked for.
  absl::Status Start();
  // Accepts no more connections and closes the sockets. Open connections stay.
  void Stop();

  // What clients connect to, with the actual port.
  const std::string& address() const { return address_; }
  // False while new connections are refused because there are too many, or while the system has no
  // descriptors for them.
  bool accepting() const { return accepting_; }
  // Whether the threads that accept and watch connections do their work. False if one of them has
  // been held up for `limit`.
  bool IsAlive(Duration limit) const;
  // See ConnectionTable::Find. Thread-safe.
  std::shared_ptr<Connection> FindConnection(const std::string& peer) const {
    return table_.Find(peer);
  }

 private:
  Listener(ListenerOptions options, ListenSockets sockets, MetricsRegistry* metrics);

  enum class Trouble { kNone, kTooMany, kSystem };

  void Run();
  // Waits for a connection, for Stop, or until the next look. Returns false after Stop.
  bool Wait();
  void AcceptFrom(int socket);
  void HandOver(UniqueFd connection);
  // Accepts a connection with a spare descriptor, only to close it: otherwise its client would wait
  // for an answer until it gives up.
  void RefuseWithSpare(int socket, const std::string& reason);
  void FillSpares();
  void Refuse(UniqueFd connection, Trouble trouble, const std::string& reason);
  void BeginTrouble(Trouble trouble, const std::string& reason);
  // If connections could not be accepted, finds out if they can be now.
  void LookForRecovery();
  bool RateAllows() { return rate_.Allows(Clock::Real()->Now()); }

  ListenerOptions options_;
  ListenSockets sockets_;
  const std::string address_;
  Counter* const refused_limit_;
  Counter* const refused_descriptors_;
  Gauge* const accepting_gauge_;
  ConnectionTable table_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  UniqueFd stop_;  // an eventfd
  std::atomic<bool> accepting_ = true;
  std::atomic<TimePoint> turned_at_;  // when the thread last went round

  // Used on the thread only.
  std::vector<UniqueFd> spares_;
  Trouble trouble_ = Trouble::kNone;
  TimePoint refused_at_{};  // when a connection was last refused
  RateLimit rate_;

  std::thread thread_;
};

}  // namespace ese
