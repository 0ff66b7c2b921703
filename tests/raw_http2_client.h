// SPDX-License-Identifier: Apache-2.0
// A client that writes HTTP/2 frames itself (RFC 9113), because no gRPC client sends anything after
// the end of its stream.
#pragma once

#include <cstdint>
#include <string>

#include "ese/v1/speech.pb.h"

namespace ese {

// One connection to a server. Streams have odd numbers.
class RawHttp2Client {
 public:
  // `address` is an IPv4 address with a port.
  explicit RawHttp2Client(const std::string& address);
  ~RawHttp2Client();
  RawHttp2Client(const RawHttp2Client&) = delete;
  RawHttp2Client& operator=(const RawHttp2Client&) = delete;

  // Begins a call of StreamingInfer.
  void BeginCall(uint8_t stream);
  void SendMessage(uint8_t stream, const v1::StreamingInferRequest& request, bool end);
  // Sends 10,000 frames that change nothing: PRIORITY, which RFC 9113 deprecates.
  void SendUselessFrames();
  // Stops sending and reads until the server closes the connection, for at most ten seconds.
  // Without this wait, a loop of clients would only test how fast connections can be opened.
  void Finish();

 private:
  void SendFrame(char type, char flags, uint8_t stream, const std::string& payload);
  void Send(const std::string& bytes);

  const int socket_;
};

}  // namespace ese
