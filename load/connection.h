// SPDX-License-Identifier: Apache-2.0
// The connections of a load test. Those without TLS are made here and not by gRPC, so that they can
// be cut.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/access.h"
#include "ese/v1/speech.grpc.pb.h"

namespace ese {

// Not thread-safe, except that calls on the stub may be made on any thread.
class LoadConnection {
 public:
  // UNAVAILABLE if nothing listens at the address; NOT_FOUND if there is no such host;
  // DEADLINE_EXCEEDED after `timeout`; and the errors of MakeChannel and AwaitConnection.
  static absl::StatusOr<std::unique_ptr<LoadConnection>> Dial(const std::string& address,
                                                              Duration timeout,
                                                              const AccessOptions& access);
  ~LoadConnection();
  LoadConnection(const LoadConnection&) = delete;
  LoadConnection& operator=(const LoadConnection&) = delete;

  const std::string& address() const { return address_; }
  v1::SpeechInference::Stub& stub() { return *stub_; }

  // Ends the connection without any HTTP/2 message, like a client that crashes. REQUIRES: no TLS
  void Cut();
  // Marks it as unusable, because a call has found it broken.
  void NoteBroken() { broken_ = true; }
  bool broken() const { return broken_; }

 private:
  LoadConnection(std::string address, int fd, const std::shared_ptr<grpc::Channel>& channel);

  const std::string address_;
  const int fd_;  // -1 with TLS, where gRPC connects
  std::unique_ptr<v1::SpeechInference::Stub> stub_;
  bool broken_ = false;
};

// Up to `count` connections to each server. They are made when first needed, and again after a
// break. Not thread-safe.
class LoadConnections {
 public:
  LoadConnections(std::vector<std::string> addresses, int count, Duration timeout,
                  AccessOptions access);

  size_t servers() const { return addresses_.size(); }
  // Returns connection `number` modulo `count` to the server with index `server`.
  absl::StatusOr<std::shared_ptr<LoadConnection>> Get(size_t server, int number);
  // Cuts the next working connection, in turn. Returns false if there is none.
  bool CutNext();

 private:
  const std::vector<std::string> addresses_;
  const int count_;
  const Duration timeout_;
  const AccessOptions access_;
  std::vector<std::shared_ptr<LoadConnection>>
      connections_;  // `count` for each server; null: not made yet
  size_t next_cut_ = 0;
};

}  // namespace ese
