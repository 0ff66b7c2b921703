// SPDX-License-Identifier: Apache-2.0
#include "server/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "server/descriptor_limit.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

// Descriptors that stay in reserve, so that refusing a connection is always possible.
constexpr size_t kSpares = 4;
// How long to wait when connections come too fast. Until then they stay in the system's queue.
constexpr Duration kRateInterval = std::chrono::milliseconds(10);
constexpr int kAcceptsPerTurn = 64;  // then other sockets get a turn
// The thread goes round at least this often, which shows that it is alive.
constexpr Duration kListenerTurn = std::chrono::seconds(1);

Counter* RefusedCounter(MetricsRegistry* metrics, const char* reason) {
  return metrics->GetCounter("ese_connections_refused_total",
                             "Connections that were closed at once, by the reason.",
                             {{"reason", reason}});
}

// Closes the connection without waiting for the client, which sees a reset.
void Reset(UniqueFd connection) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

UniqueFd OpenSpare() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

UniqueFd AcceptOne(int socket) {
  return UniqueFd(::accept4(socket, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Open(ListenerOptions options,
                                                         MetricsRegistry* metrics) {
  // Fail before the models' threads and gRPC take descriptors; Start checks again.
  ESE_RETURN_IF_ERROR(
      ChooseMaxConnections(options.max_connections, RaiseDescriptorLimit(), OpenDescriptors())
          .status());
  ESE_ASSIGN_OR_RETURN(ListenSockets sockets, ListenSockets::Open(options.address));
  return std::unique_ptr<Listener>(new Listener(std::move(options), std::move(sockets), metrics));
}

Listener::Listener(ListenerOptions options, ListenSockets sockets, MetricsRegistry* metrics)
    : options_(std::move(options)),
      sockets_(std::move(sockets)),
      address_(sockets_.address()),
      refused_limit_(RefusedCounter(metrics, "limit")),
      refused_descriptors_(RefusedCounter(metrics, "descriptors")),
      accepting_gauge_(metrics->GetGauge(
          "ese_listener_accepting", "1 if new connections are accepted, 0 if they are refused.")),
      table_(options_.limits, metrics),
      turned_at_(Clock::Real()->Now()),
      rate_(options_.max_accept_rate, options_.max_accept_rate, Clock::Real()->Now()) {}

Listener::~Listener() { Stop(); }

void Listener::AddTo(grpc::ServerBuilder& builder,
                     std::shared_ptr<grpc::ServerCredentials> credentials) {
  acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      std::move(credentials));
}

absl::Status Listener::Start() {
  stop_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_) return absl::ResourceExhaustedError("there is no free file descriptor");
  ESE_RETURN_IF_ERROR(table_.Start());
  FillSpares();
  ESE_ASSIGN_OR_RETURN(
      options_.max_connections,
      ChooseMaxConnections(options_.max_connections, RaiseDescriptorLimit(), OpenDescriptors()));
  accepting_gauge_->Set(1);
  turned_at_ = Clock::Real()->Now();
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

void Listener::Stop() {
  if (!thread_.joinable()) return;
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
  accepting_ = false;
  accepting_gauge_->Set(0);
  const ListenSockets closed = std::move(sockets_);
}

bool Listener::IsAlive(Duration limit) const {
  return Clock::Real()->Now() - std::min(turned_at_.load(), table_.turned_at()) < limit;
}

void Listener::Run() {
  pthread_setname_np(pthread_self(), "ese-listener");
  while (Wait()) {
    LookForRecovery();
    for (const UniqueFd& socket : sockets_.sockets()) AcceptFrom(socket.get());
  }
}

bool Listener::Wait() {
  std::vector<pollfd> polled = {{.fd = stop_.get(), .events = POLLIN, .revents = 0}};
  turned_at_ = Clock::Real()->Now();
  Duration limit = trouble_ == Trouble::kNone ? kListenerTurn : options_.retry;
  if (spares_.empty()) {
    // Connections wait in the system's queue until there are descriptors to refuse them.
    limit = options_.retry;
  } else if (!RateAllows()) {
    limit = kRateInterval;
  } else {
    for (const UniqueFd& socket : sockets_.sockets()) {
      polled.push_back({.fd = socket.get(), .events = POLLIN, .revents = 0});
    }
  }
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(limit).count();
  ::poll(polled.data(), polled.size(), static_cast<int>(milliseconds));
  return (polled[0].revents & POLLIN) == 0;
}

void Listener::AcceptFrom(int socket) {
  for (int i = 0; i < kAcceptsPerTurn && RateAllows(); ++i) {
    UniqueFd connection = AcceptOne(socket);
    const int error = errno;
    if (connection) {
      rate_.Count();
      HandOver(std::move(connection));
    } else if (error == EAGAIN) {
      return;
    } else if (LacksResources(error)) {
      return RefuseWithSpare(socket, std::strerror(error));
    }
  }
}

void Listener::HandOver(UniqueFd connection) {
  if (table_.size() >= options_.max_connections && !table_.MakeRoom()) {
    return Refuse(
        std::move(connection), Trouble::kTooMany,
        absl::StrCat(options_.max_connections,
                     " are open and in use, which is what --max-connections and the limit "
                     "of file descriptors allow"));
  }
  if (const absl::Status status = table_.Add(connection.get()); !status.ok()) {
    return Refuse(std::move(connection), Trouble::kSystem, std::string(status.message()));
  }
  const int on = 1;
  // A unix socket does not have this option, and does not need it.
  ::setsockopt(connection.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.fd = connection.Release();
  acceptor_->HandleNewConnection(&parameters);
}

void Listener::RefuseWithSpare(int socket, const std::string& reason) {
  BeginTrouble(Trouble::kSystem, reason);
  if (spares_.empty()) return;
  spares_.pop_back();
  if (UniqueFd connection = AcceptOne(socket)) {
    rate_.Count();
    Refuse(std::move(connection), Trouble::kSystem, reason);
  }
  FillSpares();
}

void Listener::Refuse(UniqueFd connection, Trouble trouble, const std::string& reason) {
  BeginTrouble(trouble, reason);
  (trouble == Trouble::kTooMany ? refused_limit_ : refused_descriptors_)->Increment();
  Reset(std::move(connection));
}

void Listener::FillSpares() {
  while (spares_.size() < kSpares) {
    UniqueFd spare = OpenSpare();
    if (!spare) return;
    spares_.push_back(std::move(spare));
  }
}

void Listener::BeginTrouble(Trouble trouble, const std::string& reason) {
  refused_at_ = Clock::Real()->Now();
  if (std::exchange(trouble_, trouble) == trouble) return;
  accepting_ = false;
  accepting_gauge_->Set(0);
  spdlog::warn("new connections are refused: {}", reason);
}

void Listener::LookForRecovery() {
  FillSpares();
  if (trouble_ == Trouble::kNone || spares_.size() < kSpares ||
      Clock::Real()->Now() < refused_at_ + options_.retry) {
    return;
  }
  // A margin keeps the state, and the log, from changing with every client that comes or goes.
  const int max = options_.max_connections;
  if (table_.size() > max - 1 - max / 20) return;
  const UniqueFd first = OpenSpare();
  const UniqueFd second = OpenSpare();
  static_assert(kDescriptorsPerConnection == 2);
  if (!first || !second) return;
  trouble_ = Trouble::kNone;
  accepting_ = true;
  accepting_gauge_->Set(1);
  spdlog::info("new connections are accepted again");
}

}  // namespace ese
