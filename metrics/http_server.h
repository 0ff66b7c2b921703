// SPDX-License-Identifier: Apache-2.0
// The HTTP server of /metrics and the operator page: libmicrohttpd on one thread, which accepts the
// connections itself. Silent and slow clients cannot keep a scraper waiting: connections have a
// time limit, and when there are too many, one of them makes room for a new one.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/listen_socket.h"
#include "base/unique_fd.h"
#include "metrics/operator_page.h"
#include "metrics/shared_page.h"
#include "microhttpd.h"

namespace ese {

class HttpServer {
 public:
  static constexpr size_t kMaxConnections = 64;
  // A connection is closed if it takes longer than this to send a request, or to receive an answer.
  static constexpr Duration kTimeLimit = std::chrono::seconds(10);
  // How long the server accepts nothing after the process has run out of descriptors or memory.
  static constexpr Duration kPause = std::chrono::milliseconds(100);

  // Serves http://ADDRESS/metrics, whose text `render` returns, until destruction; see
  // shared_page.h for how long a text serves several readers. `address` is
  // HOST:PORT or unix:PATH as in base/listen_socket.h. `page` tells who may also read the operator
  // page at /. `render` runs on the server's thread.
  // `clock` must outlive the server; the server looks at it after each event, so a test that moves
  // its clock then sends a request. INVALID_ARGUMENT: not such an address. UNAVAILABLE: it is
  // impossible to listen there.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const std::string& address,
                                                           std::function<std::string()> render,
                                                           Clock* clock = Clock::Real(),
                                                           OperatorPage page = OperatorPage::kOff);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // The address for clients: HOST:PORT with the actual port, or unix:PATH.
  const std::string& address() const { return sockets_.address(); }

 private:
  struct Connection {
    int fd;
    bool local;              // comes from this machine
    std::string peer;        // its address without the port, or "" at a unix socket
    TimePoint deadline;      // of the request, or of the answer
    bool answering = false;  // has sent a request and not received the whole answer
  };

  HttpServer(ListenSockets sockets, std::function<std::string()> render, Clock* clock,
             OperatorPage operator_page)
      : clock_(clock),
        operator_page_(operator_page),
        sockets_(std::move(sockets)),
        page_(std::move(render), clock) {}

  // Callbacks of libmicrohttpd.
  static MHD_Result Answer(void* self, MHD_Connection* connection, const char* path,
                           const char* method, const char* version, const char* body,
                           size_t* body_size, void** second_call);
  static void Answered(void* self, MHD_Connection* connection, void** state,
                       MHD_RequestTerminationCode how);
  static void Notify(void* self, MHD_Connection* connection, void** state,
                     MHD_ConnectionNotificationCode event);

  // What Notify keeps for the connection.
  static Connection& StateOf(MHD_Connection* connection);

  MHD_Result AnswerOther(MHD_Connection* connection, const std::string& path) const;
  bool StartDaemon();
  void Run();
  int Timeout() const;
  void Accept(int listener);
  void MakeRoom();
  void CloseLate();

  Clock* const clock_;
  const OperatorPage operator_page_;
  const ListenSockets sockets_;
  UniqueFd stop_;  // an eventfd
  MHD_Daemon* daemon_ = nullptr;
  std::thread thread_;
  // Only the thread uses these.
  SharedPage page_;
  std::list<Connection> connections_;  // oldest first
  TimePoint paused_until_{};           // accepts nothing until then
};

}  // namespace ese
