// SPDX-License-Identifier: Apache-2.0
#include "metrics/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/listen_address.h"
#include "base/status.h"

namespace ese {
namespace {

// The server accepts at most a few connections before it closes those that MakeRoom has shut down.
constexpr unsigned kSpareConnections = 64;
constexpr unsigned kTimeoutSeconds = 5;
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

MHD_Result Send(MHD_Connection* connection, unsigned status, std::string text, bool close) {
  MHD_Response* const response =
      MHD_create_response_from_buffer(text.size(), text.data(), MHD_RESPMEM_MUST_COPY);
  if (response == nullptr) return MHD_NO;
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                          "text/plain; version=0.0.4; charset=utf-8");
  if (close) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
  if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
    MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
  }
  const MHD_Result result = MHD_queue_response(connection, status, response);
  MHD_destroy_response(response);
  return result;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& address,
                                                              std::function<std::string()> render) {
  ESE_ASSIGN_OR_RETURN(const ListenAddress parsed, ParseListenAddress(address));
  ESE_ASSIGN_OR_RETURN(const int fd, Listen(parsed));
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(render)));
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
  const bool ipv6 = bound.ss_family == AF_INET6;
  server->port_ = ntohs(ipv6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                             : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  server->daemon_ = MHD_start_daemon(
      MHD_USE_EPOLL_INTERNALLY | MHD_USE_ITC | (ipv6 ? MHD_USE_IPv6 : 0), 0, nullptr, nullptr,
      &HttpServer::Answer, server.get(), MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
      static_cast<unsigned>(kMaxConnections) + kSpareConnections, MHD_OPTION_CONNECTION_TIMEOUT,
      kTimeoutSeconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, kMaxRequestBytes,
      MHD_OPTION_NOTIFY_CONNECTION, &HttpServer::Notify, server.get(), MHD_OPTION_END);
  if (server->daemon_ != nullptr) return server;
  return absl::UnavailableError(absl::StrCat("cannot serve metrics on ", address,
                                             ": libmicrohttpd does not start; check the "
                                             "limits of threads and open files"));
}

HttpServer::~HttpServer() {
  if (daemon_ != nullptr) MHD_stop_daemon(daemon_);
}

MHD_Result HttpServer::Answer(void* self, MHD_Connection* connection, const char* path,
                              const char* method, const char* /*version*/, const char* /*body*/,
                              size_t* /*body_size*/, void** /*state*/) {
  const std::string verb = method;
  if (verb != MHD_HTTP_METHOD_GET && verb != MHD_HTTP_METHOD_HEAD) {
    return Send(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n", true);
  }
  const char* const length =
      MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
  const bool body = (length != nullptr && std::string(length) != "0") ||
                    MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                MHD_HTTP_HEADER_TRANSFER_ENCODING) != nullptr;
  if (body) return MHD_NO;  // closes the connection
  if (std::string(path) != "/metrics") {
    return Send(connection, MHD_HTTP_NOT_FOUND, "there is only /metrics\n", false);
  }
  return Send(connection, MHD_HTTP_OK, static_cast<HttpServer*>(self)->render_(), false);
}

void HttpServer::Notify(void* self, MHD_Connection* connection, void** /*state*/,
                        MHD_ConnectionNotificationCode event) {
  auto* const server = static_cast<HttpServer*>(self);
  const int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
  if (event == MHD_CONNECTION_NOTIFY_CLOSED) {
    server->connections_.remove_if([fd](const Connection& c) { return c.fd == fd; });
    return;
  }
  const sockaddr* const peer =
      MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
  if (server->connections_.size() >= kMaxConnections) server->MakeRoom();
  server->connections_.push_back({fd, PeerOf(peer)});
}

// Shuts down the oldest connection of the peer that has most of them, so that one peer cannot
// displace another.
void HttpServer::MakeRoom() {
  std::map<std::string, int> counts;
  for (const Connection& c : connections_) ++counts[c.peer];
  const auto most = std::ranges::max_element(counts, {}, [](const auto& c) { return c.second; });
  const auto victim = std::ranges::find(connections_, most->first, &Connection::peer);
  ::shutdown(victim->fd, SHUT_RDWR);
  connections_.erase(victim);
}

}  // namespace ese
