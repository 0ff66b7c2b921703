// SPDX-License-Identifier: Apache-2.0
#include "metrics/http_server.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace ese {
namespace {

constexpr size_t kMaxRequestBytes = 16 << 10;

std::string PeerOf(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    const auto* ip = reinterpret_cast<const sockaddr_in*>(address);
    return std::string(reinterpret_cast<const char*>(&ip->sin_addr), sizeof(ip->sin_addr));
  }
  if (address->sa_family != AF_INET6) return "";
  // One host may have every address of its /64.
  const auto* ip = reinterpret_cast<const sockaddr_in6*>(address);
  return std::string(reinterpret_cast<const char*>(&ip->sin6_addr), 8);
}

// Returns whether a connection comes from this machine. Unix sockets have no address.
bool IsLocalPeer(const sockaddr* address) {
  constexpr uint32_t kLoopbackNet = 127;
  if (address->sa_family == AF_INET) {
    const auto* ip = reinterpret_cast<const sockaddr_in*>(address);
    return ntohl(ip->sin_addr.s_addr) >> 24 == kLoopbackNet;
  }
  if (address->sa_family != AF_INET6) return true;
  const in6_addr& ip = reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&ip) || (IN6_IS_ADDR_V4MAPPED(&ip) && ip.s6_addr[12] == kLoopbackNet);
}

MHD_Result Refuse(MHD_Connection* connection, unsigned status, std::string text) {
  MHD_Response* const response =
      MHD_create_response_from_buffer(text.size(), text.data(), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
  if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
    MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  }
  const MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result;
}

// Refuses a request that is not a GET or HEAD without a body.
MHD_Result CheckHeaders(MHD_Connection* connection, const std::string& method) {
  if (method != MHD_HTTP_METHOD_GET && method != MHD_HTTP_METHOD_HEAD) {
    return Refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
  }
  const char* const length =
      MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
  const bool body = (length != nullptr && std::string(length) != "0") ||
                    MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                MHD_HTTP_HEADER_TRANSFER_ENCODING) != nullptr;
  return body ? MHD_NO : MHD_YES;  // MHD_NO closes the connection
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address,
                                                              std::function<std::string()> render,
                                                              Clock* clock, OperatorPage page) {
  ESE_ASSIGN_OR_RETURN(ListenSockets sockets, ListenSockets::Open(address));
  std::unique_ptr<HttpServer> server(
      new HttpServer(std::move(sockets), std::move(render), clock, page));
  if (!server->StartDaemon()) {
    return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", address,
                                               ": libmicrohttpd does not start; check the limits "
                                               "of memory and open files"));
  }
  server->thread_ = std::thread([self = server.get()] { self->Run(); });
  return server;
}

bool HttpServer::StartDaemon() {
  stop_.Reset(::eventfd(0, EFD_CLOEXEC));
  if (!stop_) return false;
  daemon_ =
      MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, nullptr, nullptr,
                       &HttpServer::Answer, this, MHD_OPTION_CONNECTION_LIMIT,
                       static_cast<unsigned>(kMaxConnections), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                       kMaxRequestBytes, MHD_OPTION_NOTIFY_COMPLETED, &HttpServer::Answered, this,
                       MHD_OPTION_NOTIFY_CONNECTION, &HttpServer::Notify, this, MHD_OPTION_END);
  return daemon_ != nullptr;
}

HttpServer::~HttpServer() {
  if (thread_.joinable()) {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
}

// libmicrohttpd could accept connections too. But it busy-waits while accept fails for want of
// descriptors, and it knows no time limit that a client cannot extend by sending another byte.
void HttpServer::Run() {
  const int epoll_fd = MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
  std::vector<pollfd> fds = {{stop_.get(), POLLIN, 0}, {epoll_fd, POLLIN, 0}};
  const size_t others = fds.size();
  for (const UniqueFd& listener : sockets_.sockets()) fds.push_back({listener.get(), POLLIN, 0});
  while (true) {
    const bool paused = clock_->Now() < paused_until_;
    ::poll(fds.data(), paused ? others : fds.size(), Timeout());
    if (fds[0].revents != 0) return;
    for (size_t i = others; !paused && i < fds.size(); ++i) {
      if (fds[i].revents != 0) Accept(fds[i].fd);
    }
    MHD_run(daemon_);
    CloseLate();
  }
}

// Returns how long to wait for an event, in milliseconds; -1 means without limit.
int HttpServer::Timeout() const {
  MHD_UNSIGNED_LONG_LONG ready = 0;  // 0 if libmicrohttpd has something to do
  if (MHD_get_timeout(daemon_, &ready) == MHD_YES && ready == 0) return 0;
  const TimePoint now = clock_->Now();
  TimePoint next = TimePoint::max();
  if (now < paused_until_) next = paused_until_;
  for (const Connection& c : connections_) next = std::min(next, c.deadline);
  if (next == TimePoint::max()) return -1;
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - now).count();
  return static_cast<int>(std::clamp<int64_t>(wait, 0, INT_MAX));
}

void HttpServer::Accept(int listener) {
  if (connections_.size() >= kMaxConnections) MakeRoom();
  sockaddr_storage peer{};
  socklen_t size = sizeof(peer);
  const int fd =
      ::accept4(listener, reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0) {
    MHD_add_connection(daemon_, fd, reinterpret_cast<const sockaddr*>(&peer), size);
  } else if (LacksResources(errno)) {
    paused_until_ = clock_->Now() + kPause;
  }
}

// Closes a connection of the peer that has most of them, so that one peer cannot displace another.
// It is the oldest one that is not being answered, if there is one, so that silent connections
// cannot displace a scraper of the same peer.
void HttpServer::MakeRoom() {
  std::map<std::string, int> counts;
  for (const Connection& c : connections_) ++counts[c.peer];
  const auto victim = std::ranges::min_element(connections_, {}, [&counts](const Connection& c) {
    return std::pair(-counts[c.peer], c.answering);
  });
  ::shutdown(victim->fd, SHUT_RDWR);
  MHD_run(daemon_);  // sees the shutdown and closes
}

void HttpServer::CloseLate() {
  const TimePoint now = clock_->Now();
  for (const Connection& c : connections_) {
    if (c.deadline <= now) ::shutdown(c.fd, SHUT_RDWR);
  }
}

HttpServer::Connection& HttpServer::StateOf(MHD_Connection* connection) {
  return *static_cast<Connection*>(
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context);
}

// libmicrohttpd calls this twice: when the headers are complete, and when the whole request is. It
// closes the connection after an answer to the first call.
MHD_Result HttpServer::Answer(void* self, MHD_Connection* connection, const char* path,
                              const char* method, const char* /*version*/, const char* /*body*/,
                              size_t* /*body_size*/, void** second_call) {
  auto* const server = static_cast<HttpServer*>(self);
  if (*second_call == nullptr) {
    *second_call = self;
    Connection& state = StateOf(connection);
    state.answering = true;
    state.deadline = server->clock_->Now() + kTimeLimit;
    return CheckHeaders(connection, method);
  }
  if (std::string(path) != "/metrics") return server->AnswerOther(connection, path);
  MHD_Response* const page = server->page_.Get();
  return page == nullptr ? MHD_NO : MHD_queue_response(connection, MHD_HTTP_OK, page);
}

// Answers a request for the operator page, or for something that does not exist.
MHD_Result HttpServer::AnswerOther(MHD_Connection* connection, const std::string& path) const {
  const OperatorPageFile* const file = FindOperatorPageFile(path);
  if (operator_page_ == OperatorPage::kOff || file == nullptr) {
    return Refuse(connection, MHD_HTTP_NOT_FOUND,
                  operator_page_ == OperatorPage::kOff
                      ? "there is only /metrics\n"
                      : "there are only /metrics and the operator page, /\n");
  }
  if (operator_page_ == OperatorPage::kLocal && !StateOf(connection).local) {
    return Refuse(connection, MHD_HTTP_FORBIDDEN,
                  "only this machine may read the operator page; start the server with "
                  "--operator-page all to let others read it\n");
  }
  MHD_Response* const response = MHD_create_response_from_buffer(
      file->content.size(), const_cast<char*>(file->content.data()), MHD_RESPMEM_PERSISTENT);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, file->content_type.data());
  MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache");
  MHD_add_response_header(response, "Content-Security-Policy", kOperatorPagePolicy);
  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
  MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
  const MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
  MHD_destroy_response(response);
  return result;
}

void HttpServer::Answered(void* self, MHD_Connection* connection, void** /*state*/,
                          MHD_RequestTerminationCode /*how*/) {
  Connection& state = StateOf(connection);
  state.answering = false;
  state.deadline = static_cast<HttpServer*>(self)->clock_->Now() + kTimeLimit;
}

void HttpServer::Notify(void* self, MHD_Connection* connection, void** state,
                        MHD_ConnectionNotificationCode event) {
  auto* const server = static_cast<HttpServer*>(self);
  if (event == MHD_CONNECTION_NOTIFY_CLOSED) {
    server->connections_.remove_if([state](const Connection& c) { return &c == *state; });
    return;
  }
  const int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
  const sockaddr* const peer =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
  *state = &server->connections_.emplace_back(
      Connection{.fd = fd,
                 .local = IsLocalPeer(peer),
                 .peer = PeerOf(peer),
                 .deadline = server->clock_->Now() + kTimeLimit});
}

}  // namespace ese
