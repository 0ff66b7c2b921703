// SPDX-License-Identifier: Apache-2.0
// The call under a SpeechStream: gRPC's callbacks turned into waits with a time limit.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "client/speech_client.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"

namespace ese {

// Threads as SpeechStream; the On... reactions come from gRPC's threads.
class SpeechStream::Call final
    : public grpc::ClientBidiReactor<v1::StreamingInferRequest, v1::StreamingInferResponse> {
 public:
  Call(std::shared_ptr<v1::SpeechInference::Stub> stub, ClientOptions options)
      : stub_(std::move(stub)), options_(std::move(options)) {}

  void Start(const v1::StreamingConfig& config);
  absl::Status Send(std::string chunk);
  absl::Status HalfClose();
  absl::StatusOr<bool> Receive(v1::StreamingInferResponse* response);
  void Cancel() { context_.TryCancel(); }
  // Nothing may be called after it but the destructor.
  void CancelAndWait();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  using Lock = std::unique_lock<std::mutex>;

  // The server has yet to answer something it has been sent.
  bool ServerOwes() const { return !accepted_ || answered_ < sent_ || half_closed_; }
  // Something more is owed from now on.
  void NoteSending();
  // Waits until pred() holds; DEADLINE_EXCEEDED, with the call cancelled, when the server has owed
  // an answer for too long.
  template <typename Predicate>
  absl::Status Await(Lock& lock, Predicate pred);
  // Waits for the end of the call, whose reading side has ended.
  absl::Status FinalStatus(Lock& lock);
  // Waits until another write may be started.
  absl::Status AwaitWritable(Lock& lock);

  const std::shared_ptr<v1::SpeechInference::Stub> stub_;
  const ClientOptions options_;
  grpc::ClientContext context_;

  std::mutex mutex_;
  std::condition_variable changed_;
  v1::StreamingInferRequest request_;    // being written while write_busy_
  v1::StreamingInferResponse response_;  // being read unless response_ready_
  bool write_busy_ = false;
  bool half_closed_ = false;
  bool response_ready_ = false;
  bool discard_ = false;   // nobody receives any more
  bool read_end_ = false;  // no response follows; no operation may be started any more
  bool done_ = false;
  absl::Status status_;  // valid once done_
  bool accepted_ = false;
  int64_t sent_ = 0;      // chunks
  int64_t answered_ = 0;  // chunks
  TimePoint owed_since_;  // the last response, or the first sending after all was answered
};

}  // namespace ese
