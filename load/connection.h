// SPDX-License-Identifier: Apache-2.0
// The TCP (or Unix) connections of a load test, made here and not by gRPC so that they can be cut.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "ese/v1/speech.grpc.pb.h"

namespace ese {

// Not thread-safe, but that calls over the stub may run on any thread.
class LoadConnection {
 public:
  // UNAVAILABLE: nothing listens there; NOT_FOUND: no such host; DEADLINE_EXCEEDED.
  static absl::StatusOr<std::unique_ptr<LoadConnection>> Dial(const std::string& address,
                                                              Duration timeout);
  ~LoadConnection();
  LoadConnection(const LoadConnection&) = delete;
  LoadConnection& operator=(const LoadConnection&) = delete;

  const std::string& address() const { return address_; }
  v1::SpeechInference::Stub& stub() { return *stub_; }

  // Ends the connection without a word of HTTP/2, as a client does that crashes or walks away.
  void Cut();
  // Nothing more is to be sent over it: it was cut, or a call has found it broken.
  void NoteBroken() { broken_ = true; }
  bool broken() const { return broken_; }

 private:
  LoadConnection(std::string address, int fd);

  const std::string address_;
  const int fd_;  // a duplicate of gRPC's, which it closes when it likes
  std::unique_ptr<v1::SpeechInference::Stub> stub_;
  bool broken_ = false;
};

// `count` connections to each of the servers, made when first needed, and again after a break.
// Not thread-safe.
class LoadConnections {
 public:
  LoadConnections(std::vector<std::string> addresses, int count, Duration timeout);

  size_t servers() const { return addresses_.size(); }
  // The one of that number, modulo `count`.
  absl::StatusOr<std::shared_ptr<LoadConnection>> Get(size_t server, int number);
  // Cuts one that is not broken, each in its turn; false if there is none.
  bool CutNext();

 private:
  const std::vector<std::string> addresses_;
  const int count_;
  const Duration timeout_;
  std::vector<std::shared_ptr<LoadConnection>> connections_;  // server by server; may be null
  size_t next_cut_ = 0;
};

}  // namespace ese
