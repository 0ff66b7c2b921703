// SPDX-License-Identifier: Apache-2.0
#include "server/connection_table.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace ese {
namespace {

absl::Status NoDescriptors(const char* what) {
  return absl::ResourceExhaustedError(absl::StrCat(what, ": ", std::strerror(errno)));
}

}  // namespace

ConnectionTable::ConnectionTable(MetricsRegistry* metrics)
    : gauge_(metrics->GetGauge("ese_connections", "Open connections of clients.")) {}

ConnectionTable::~ConnectionTable() {
  if (!thread_.joinable()) return;
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

absl::Status ConnectionTable::Start() {
  epoll_.Reset(::epoll_create1(EPOLL_CLOEXEC));
  stop_.Reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll_ || !stop_) return NoDescriptors("cannot watch connections");
  epoll_event event{.events = EPOLLIN, .data = {.fd = stop_.get()}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event) != 0) {
    return NoDescriptors("cannot watch connections");
  }
  thread_ = std::thread([this] { Watch(); });
  return absl::OkStatus();
}

absl::Status ConnectionTable::Add(int fd) {
  UniqueFd duplicate(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!duplicate) return NoDescriptors("cannot watch a connection");
  const int key = duplicate.get();
  {
    const MutexLock lock(mutex_);
    connections_[key] = std::move(duplicate);
    gauge_->Set(++size_);
  }
  // The system always reports EPOLLHUP. Data is gRPC's business.
  epoll_event event{.events = EPOLLET, .data = {.fd = key}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, key, &event) == 0) return absl::OkStatus();
  const absl::Status status = NoDescriptors("cannot watch a connection");
  Remove(key);
  return status;
}

void ConnectionTable::Remove(int fd) {
  const MutexLock lock(mutex_);
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  // Closing the duplicate does not remove it from the epoll as long as gRPC has the connection
  // open.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  connections_.erase(found);
  gauge_->Set(--size_);
}

void ConnectionTable::Watch() {
  pthread_setname_np(pthread_self(), "ese-connections");
  std::array<epoll_event, 64> events;
  while (true) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == stop_.get()) return;
      if ((events[i].events & EPOLLHUP) != 0) Remove(events[i].data.fd);
    }
  }
}

}  // namespace ese
