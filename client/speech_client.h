// SPDX-License-Identifier: Apache-2.0
// A client of ese.v1.SpeechInference.
//
//   SpeechClient::Connect -> FindModel -> Open(config) -> SpeechStream: Send ... HalfClose
//                                                                       Receive ... until false
//
// One server and one call; resuming_stream.h makes a stream of several calls that outlives them.
//
// Nothing waits for ever: every wait for the server is bounded by ClientOptions::timeout, after
// which the call is cancelled and DEADLINE_EXCEEDED returned. HTTP proxies of the environment are
// ignored; the address is connected to as it stands.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "ese/v1/speech.grpc.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/channel_arguments.h"

namespace ese {

struct ClientOptions {
  std::string address = "127.0.0.1:7700";  // HOST:PORT, or unix:PATH
  // How long to wait for a connection, for the answer of a simple call, and, in a stream, for any
  // answer while the server owes one.
  Duration timeout = std::chrono::seconds(10);
};

// The same code and message. UNAVAILABLE, UNIMPLEMENTED and CANCELLED get the address and a remedy.
absl::Status FromGrpc(const grpc::Status& status, const std::string& address);

// That of a call that has ended, with the hint that RetryAfter of base/ reads: what the trailing
// metadata retry-after-ms asked for.
absl::Status FromGrpc(const grpc::Status& status, const std::string& address,
                      const grpc::ClientContext& context);

// An unconnected channel of its own connection: two channels never share one.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address);
// The settings of such channels.
grpc::ChannelArguments MakeChannelArguments();

class SpeechStream;

// Thread-safe.
class SpeechClient {
 public:
  // Create, then AwaitConnection.
  static absl::StatusOr<std::unique_ptr<SpeechClient>> Connect(const ClientOptions& options);
  // Connects with the first call. INVALID_ARGUMENT: an empty address.
  static absl::StatusOr<std::unique_ptr<SpeechClient>> Create(const ClientOptions& options);
  // UNAVAILABLE as soon as the first attempt to connect fails, DEADLINE_EXCEEDED if nothing answers
  // in time: both name the address and the remedy.
  absl::Status AwaitConnection() const;

  absl::StatusOr<v1::ListModelsResponse> ListModels() const;
  // The model of that name; the only one, if `name` is empty. NOT_FOUND and INVALID_ARGUMENT (empty
  // among several) list the names to choose from.
  absl::StatusOr<v1::Model> FindModel(const std::string& name) const;

  // A new stream. Whether the server accepts the config is told by its first response.
  std::unique_ptr<SpeechStream> Open(const v1::StreamingConfig& config) const;

 private:
  SpeechClient(ClientOptions options, std::shared_ptr<grpc::Channel> channel);

  ClientOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::shared_ptr<v1::SpeechInference::Stub> stub_;
};

// One call. One thread may send (Send, HalfClose) while another receives; a server answers while it
// takes content, so whoever sends much must receive on another thread. Outlives its SpeechClient.
class SpeechStream {
 public:
  // Cancels a call that has not ended, and waits for that.
  ~SpeechStream();

  // Sends one chunk, once the one before is on its way. An error is that of the call, which has
  // then ended. REQUIRES: HalfClose has not been called
  absl::Status Send(std::string chunk);
  // Says that the content has ended.
  absl::Status HalfClose();

  // Waits for the next response. False: the call has ended with OK. An error ends the call; it is
  // DEADLINE_EXCEEDED when the server answered nothing for ClientOptions::timeout although it owed
  // the first response, the answer to a chunk, or the end of the call after HalfClose.
  absl::StatusOr<bool> Receive(v1::StreamingInferResponse* response);

  // Ends the call from any thread; the others' waits return CANCELLED.
  void Cancel();

 private:
  friend class SpeechClient;
  class Call;
  explicit SpeechStream(std::unique_ptr<Call> call);

  std::unique_ptr<Call> call_;
};

}  // namespace ese
