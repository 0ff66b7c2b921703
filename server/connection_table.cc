// SPDX-License-Identifier: Apache-2.0
#include "server/connection_table.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/printable.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

constexpr Duration kTurn = std::chrono::seconds(1);
// A line of the log says how many connections were closed since the last one.
constexpr Duration kLogInterval = std::chrono::seconds(30);
constexpr size_t kMaxDebts = 1024;
// One search for connections that can be closed makes room for a hundredth of all, so that a full
// table does not search for each new connection.
constexpr size_t kRoomPart = 100;
constexpr uint64_t kStop = 0;  // no connection has this id

absl::Status NoDescriptors(const char* what) {
  return absl::ResourceExhaustedError(absl::StrCat(what, ": ", std::strerror(errno)));
}

Counter* ClosedCounter(MetricsRegistry* metrics, const char* reason) {
  return metrics->GetCounter("ese_connections_closed_total",
                             "Open connections that the server has closed, by the reason.",
                             {{"reason", reason}});
}

}  // namespace

ConnectionTable::ConnectionTable(const ConnectionLimits& limits, MetricsRegistry* metrics)
    : limits_(limits),
      gauge_(metrics->GetGauge("ese_connections", "Open connections of clients.")),
      wasted_calls_(metrics->GetCounter(
          "ese_wasted_calls_total",
          "Calls that ended before they sent a config or request, or that were cancelled before "
          "their first answer.")),
      turned_at_(Clock::Real()->Now()),
      closed_{{.counter = ClosedCounter(metrics, "wasted_calls"),
               .text = "its calls were reset, refused or malformed too often "
                       "(--max-connection-resets)"},
              {.counter = ClosedCounter(metrics, "overhead"),
               .text = "it sent too much that belongs to no message"},
              {.counter = ClosedCounter(metrics, "room"),
               .text = "it had no stream, and other clients needed its place "
                       "(--max-connections)"}} {}

ConnectionTable::~ConnectionTable() {
  if (!thread_.joinable()) return;
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

absl::Status ConnectionTable::Start() {
  epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  stop_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_ || !stop_) return NoDescriptors("cannot watch connections");
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kStop}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event) != 0) {
    return NoDescriptors("cannot watch connections");
  }
  thread_ = std::thread([this] { Watch(); });
  return absl::OkStatus();
}

absl::Status ConnectionTable::Add(int fd) {
  UniqueFd duplicate(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!duplicate) return NoDescriptors("cannot watch a connection");
  const int watched = duplicate.get();
  Peer peer = Peer::Of(watched);
  uint64_t id = 0;
  {
    const MutexLock lock(mutex_);
    id = ++last_id_;
    const auto connection = std::make_shared<Connection>(
        std::move(duplicate), peer, BudgetFor(peer.host, Clock::Real()->Now()), &limits_, this);
    connections_[id] = connection;
    if (!peer.name.empty()) {
      // One client may have the same port in connections to two addresses of this server.
      const auto [begin, end] = by_peer_.equal_range(peer.name);
      if (begin != end) connection->identified_ = false;
      for (auto other = begin; other != end; ++other) other->second->identified_ = false;
      by_peer_.emplace(std::move(peer.name), connection);
    }
    gauge_->Set(++size_);
  }
  // The system always reports EPOLLHUP. Data is gRPC's business.
  epoll_event event{.events = EPOLLET, .data = {.u64 = id}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, watched, &event) == 0) return absl::OkStatus();
  const absl::Status status = NoDescriptors("cannot watch a connection");
  Remove(id);
  return status;
}

std::shared_ptr<Connection> ConnectionTable::Find(const std::string& peer) const {
  const MutexLock lock(mutex_);
  const auto [begin, end] = by_peer_.equal_range(peer);
  return begin != end && begin->second->identified_ ? begin->second : nullptr;
}

bool ConnectionTable::MakeRoom() {
  struct Candidate {
    uint64_t id;
    std::shared_ptr<Connection> connection;
    bool has_calls;
    TimePoint idle_since;
  };
  const MutexLock lock(mutex_);
  std::unordered_map<std::string, int> count_of_host;
  std::vector<Candidate> candidates;
  for (const auto& [id, connection] : connections_) {
    ++count_of_host[connection->peer_.host];
    if (!connection->identified_ || connection->useful_calls_ > 0) continue;
    candidates.push_back({id, connection, connection->open_calls_ > 0, connection->idle_since_});
  }
  if (candidates.empty()) return false;
  const auto end =
      candidates.begin() +
      static_cast<int64_t>(std::min(candidates.size(), connections_.size() / kRoomPart + 1));
  std::ranges::partial_sort(candidates, end, {}, [&](const Candidate& c) {
    return std::tuple(c.has_calls, -count_of_host.at(c.connection->peer_.host), c.idle_since);
  });
  for (auto candidate = candidates.begin(); candidate != end; ++candidate) {
    candidate->connection->ShutDown();
    NoteClosed(*candidate->connection, Reason::kRoom);
    RemoveLocked(candidate->id);
  }
  return true;
}

void ConnectionTable::Close(Connection& connection, Reason reason) {
  {
    const MutexLock lock(connection.mutex_);
    if (std::exchange(connection.closing_, true)) return;
  }
  connection.ShutDown();
  const MutexLock lock(mutex_);
  NoteClosed(connection, reason);
  NoteDebt(connection.peer_.host, connection.budget());
}

void ConnectionTable::NoteClosed(const Connection& connection, Reason reason) {
  Closed& closed = closed_[static_cast<int>(reason)];
  closed.counter->Increment();
  ++closed.unlogged;
  const TimePoint now = Clock::Real()->Now();
  if (now < closed.log_at) return;
  closed.log_at = now + kLogInterval;
  const int others = std::exchange(closed.unlogged, 0) - 1;
  spdlog::warn("closed the connection of {}: {}{}", Printable(connection.peer_.name), closed.text,
               others == 0 ? "" : absl::StrCat("; and ", others, " others before, likewise"));
}

ConnectionBudget ConnectionTable::BudgetFor(const std::string& host, TimePoint now) {
  const auto debt = debts_.find(host);
  return debt != debts_.end() && now < debt->second.until ? debt->second.budget
                                                          : ConnectionBudget(limits_, now);
}

void ConnectionTable::NoteDebt(const std::string& host, const ConnectionBudget& budget) {
  const TimePoint now = Clock::Real()->Now();
  if (debts_.size() >= kMaxDebts) {
    std::erase_if(debts_, [now](const auto& debt) { return debt.second.until <= now; });
    if (debts_.size() >= kMaxDebts) debts_.erase(debts_.begin());
  }
  debts_.insert_or_assign(
      host, Debt{budget.WithoutArrears(),
                 now + std::chrono::seconds(static_cast<int>(ConnectionLimits::kBurstSeconds))});
}

void ConnectionTable::Remove(uint64_t id) {
  const MutexLock lock(mutex_);
  RemoveLocked(id);
}

void ConnectionTable::RemoveLocked(uint64_t id) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const std::shared_ptr<Connection> connection = std::move(found->second);
  connections_.erase(found);
  const auto [begin, end] = by_peer_.equal_range(connection->peer_.name);
  const auto named =
      std::find_if(begin, end, [&](const auto& entry) { return entry.second == connection; });
  if (named != end) by_peer_.erase(named);
  connection->Forget(epoll_.get());
  gauge_->Set(--size_);
}

void ConnectionTable::CheckAll() {
  std::vector<std::shared_ptr<Connection>> all;
  {
    const MutexLock lock(mutex_);
    all.reserve(connections_.size());
    for (const auto& [id, connection] : connections_) all.push_back(connection);
  }
  for (const auto& connection : all) {
    if (!connection->CheckOverhead()) Close(*connection, Reason::kOverhead);
  }
}

void ConnectionTable::Watch() {
  pthread_setname_np(pthread_self(), "ese-connections");
  std::array<epoll_event, 64> events;
  TimePoint check_at = Clock::Real()->Now() + kTurn;
  while (true) {
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), events.size(),
                     static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(kTurn).count()));
    for (int i = 0; i < count; ++i) {
      if (events[i].data.u64 == kStop) return;
      if ((events[i].events & EPOLLHUP) != 0) Remove(events[i].data.u64);
    }
    const TimePoint now = Clock::Real()->Now();
    turned_at_ = now;
    if (now < check_at) continue;
    check_at = now + kTurn;
    CheckAll();
  }
}

}  // namespace ese
