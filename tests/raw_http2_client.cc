// SPDX-License-Identifier: Apache-2.0
#include "tests/raw_http2_client.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

constexpr char kData = 0, kHeaders = 1, kPriority = 2, kSettings = 4;
constexpr char kEndStream = 1, kEndHeaders = 4;

std::string Length(const std::string& text) {
  return std::string(1, static_cast<char>(text.size()));
}

std::string Frame(char type, char flags, uint8_t stream, const std::string& payload) {
  return absl::StrCat(std::string(1, '\0'), std::string(1, static_cast<char>(payload.size() >> 8)),
                      Length(payload), std::string(1, type), std::string(1, flags),
                      std::string(3, '\0'), std::string(1, static_cast<char>(stream)), payload);
}

}  // namespace

RawHttp2Client::RawHttp2Client(const std::string& address)
    : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  const size_t colon = address.rfind(':');
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(colon + 1), &port));
  to.sin_port = htons(static_cast<uint16_t>(port));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
  EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  SendFrame(kSettings, 0, 0, "");
}

RawHttp2Client::~RawHttp2Client() { close(socket_); }

void RawHttp2Client::BeginCall(uint8_t stream) {
  std::string headers;
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {":method", "POST"},
           {":scheme", "http"},
           {":path", "/ese.v1.SpeechInference/StreamingInfer"},
           {":authority", "localhost"},
           {"te", "trailers"},
           {"content-type", "application/grpc"}}) {
    // This is a literal header field without indexing (RFC 7541, section 6.2.2).
    absl::StrAppend(&headers, std::string(1, '\0'), Length(name), name, Length(value), value);
  }
  SendFrame(kHeaders, kEndHeaders, stream, headers);
}

void RawHttp2Client::SendMessage(uint8_t stream, const v1::StreamingInferRequest& request,
                                 bool end) {
  const std::string bytes = request.SerializeAsString();
  SendFrame(kData, end ? kEndStream : 0, stream,
            absl::StrCat(std::string(3, '\0'), std::string(1, static_cast<char>(bytes.size() >> 8)),
                         Length(bytes), bytes));
}

void RawHttp2Client::SendUselessFrames() {
  const std::string payload(5, '\0');
  std::string frames;
  for (int i = 0; i < 10'000; ++i) absl::StrAppend(&frames, Frame(kPriority, 0, 1, payload));
  Send(frames);
}

void RawHttp2Client::Finish() {
  shutdown(socket_, SHUT_WR);
  const timeval patience = {.tv_sec = 10, .tv_usec = 0};
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  char bytes[4096];
  while (recv(socket_, bytes, sizeof(bytes), 0) > 0) continue;
}

void RawHttp2Client::SendFrame(char type, char flags, uint8_t stream, const std::string& payload) {
  Send(Frame(type, flags, stream, payload));
}

void RawHttp2Client::Send(const std::string& bytes) {
  // The server may have closed the connection already.
  send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

}  // namespace ese
