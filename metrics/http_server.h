// SPDX-License-Identifier: Apache-2.0
// The HTTP server behind /metrics: libmicrohttpd with one thread. Silent and slow clients cannot
// keep a scraper waiting: when there are too many connections, an old one makes room for a new one.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "microhttpd.h"

namespace ese {

class HttpServer {
 public:
  static constexpr size_t kMaxConnections = 64;

  // Serves http://ADDRESS/metrics, whose text `render` returns, until destruction. `address` is
  // HOST:PORT as in base/listen_address.h. `render` runs on the server's thread.
  // INVALID_ARGUMENT: not such an address. UNAVAILABLE: it is impossible to listen there.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address,
                                                           std::function<std::string()> render);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const { return port_; }

 private:
  struct Connection {
    int fd;
    std::string peer;  // its address, without the port
  };

  explicit HttpServer(std::function<std::string()> render) : render_(std::move(render)) {}

  static MHD_Result Answer(void* self, MHD_Connection* connection, const char* path,
                           const char* method, const char* version, const char* body,
                           size_t* body_size, void** state);
  static void Notify(void* self, MHD_Connection* connection, void** state,
                     MHD_ConnectionNotificationCode event);
  void MakeRoom();

  const std::function<std::string()> render_;
  std::list<Connection> connections_;  // oldest first; only the server's thread uses it
  MHD_Daemon* daemon_ = nullptr;
  int port_ = 0;
};

}  // namespace ese
