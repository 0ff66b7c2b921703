// SPDX-License-Identifier: Apache-2.0
// A client of ese.v1.SpeechInference.
//
//   SpeechClient::Connect -> FindModel -> Open(config) -> SpeechStream: Send ... HalfClose
//                                                                       Receive ... until false
//
// This is one call to one server. resuming_stream.h makes a stream that continues over several
// calls.
//
// No wait for the server is longer than ClientOptions::timeout. After that the call is cancelled,
// and DEADLINE_EXCEEDED is returned. HTTP proxies named in the environment are ignored.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/access.h"
#include "ese/v1/speech.grpc.pb.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"

namespace ese {

struct ClientOptions {
  std::string address = "127.0.0.1:7700";  // HOST:PORT, or unix:PATH
  // The longest wait for a connection, for the answer to a simple call and, in a stream, for the
  // next answer while the server owes one.
  Duration timeout = std::chrono::seconds(10);
  AccessOptions access = {};
};

// Converts a status, keeping its code. The message gets the address and, for UNAVAILABLE,
// UNIMPLEMENTED, UNAUTHENTICATED and CANCELLED, a remedy.
absl::Status FromGrpc(const grpc::Status& status, const std::string& address);

// As above, for a call that has ended. If the server sent the trailing metadata retry-after-ms,
// RetryAfter (base/retry_after.h) returns it from the result.
absl::Status FromGrpc(const grpc::Status& status, const std::string& address,
                      const grpc::ClientContext& context);

// Waits until a channel that was made with these options is connected. UNAVAILABLE as soon as the
// first attempt fails; DEADLINE_EXCEEDED if nothing answers in time. The messages name the address,
// the reason and a remedy.
absl::Status AwaitConnection(grpc::Channel& channel, const ClientOptions& options);

class SpeechStream;

// Thread-safe.
class SpeechClient {
 public:
  // Calls Create and then AwaitConnection.
  static absl::StatusOr<std::unique_ptr<SpeechClient>> Connect(const ClientOptions& options);
  // The first call connects. INVALID_ARGUMENT if the address is empty; and the errors of
  // MakeChannel (access.h).
  static absl::StatusOr<std::unique_ptr<SpeechClient>> Create(const ClientOptions& options);
  // As the function above.
  absl::Status AwaitConnection() const;

  absl::StatusOr<v1::ListModelsResponse> ListModels() const;
  // Returns the model called `name`, or the only model if `name` is empty. NOT_FOUND if there is no
  // such model, INVALID_ARGUMENT if `name` is empty and there are several; both list the names.
  absl::StatusOr<v1::Model> FindModel(const std::string& name) const;

  // Opens a new stream. Its first response tells whether the server accepts the config.
  std::unique_ptr<SpeechStream> Open(const v1::StreamingConfig& config) const;

 private:
  SpeechClient(ClientOptions options, std::shared_ptr<grpc::Channel> channel);

  ClientOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
  std::shared_ptr<v1::SpeechInference::Stub> stub_;
};

// One call. One thread may send (Send, HalfClose) while another receives. The server stops reading
// when its answers are not read, so send and receive on two threads unless the content is short.
// The stream may outlive its SpeechClient.
class SpeechStream {
 public:
  // Cancels a call that has not ended, and waits for its end.
  ~SpeechStream();

  // Waits until gRPC has taken the previous chunk, then sends this one. An error means that the
  // call has ended, and is the call's error. REQUIRES: HalfClose has not been called
  absl::Status Send(std::string chunk);
  // Tells the server that the content has ended.
  absl::Status HalfClose();

  // Waits for the next response. Returns false when the call has ended with OK. An error means that
  // the call has ended. DEADLINE_EXCEEDED: the server owed an answer (its first response, the
  // answer to a chunk, or the end after HalfClose) and sent none for ClientOptions::timeout.
  absl::StatusOr<bool> Receive(v1::StreamingInferResponse* response);

  // Ends the call. May be called from any thread; waits of other threads then return CANCELLED.
  void Cancel();

 private:
  friend class SpeechClient;
  class Call;
  explicit SpeechStream(std::unique_ptr<Call> call);

  std::unique_ptr<Call> call_;
};

}  // namespace ese
