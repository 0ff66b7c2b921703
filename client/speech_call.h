// SPDX-License-Identifier: Apache-2.0
// The call under a SpeechStream: turns gRPC's callbacks into waits with a time limit.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "client/speech_client.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/client_callback.h"

namespace ese {

// Its functions are called from the same threads as SpeechStream's; the On... functions are called
// by gRPC's threads.
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
  // Call nothing but the destructor after this.
  void CancelAndWait();

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  // The server has not yet answered everything that it was sent.
  bool ServerOwes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !accepted_ || answered_ < sent_ || half_closed_;
  }
  // Something is about to be sent, so the server owes its answer from now on.
  void NoteSending() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits until something has changed. If the server has owed an answer for too long, cancels the
  // call and returns DEADLINE_EXCEEDED.
  absl::Status AwaitChange() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits for the end of the call and returns its status. REQUIRES: read_end_
  absl::Status FinalStatus() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits until another write can be started.
  absl::Status AwaitWritable() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<v1::SpeechInference::Stub> stub_;
  const ClientOptions options_;
  grpc::ClientContext context_;

  Mutex mutex_;
  CondVar changed_;
  // gRPC reads request_ while write_busy_, and writes response_ unless response_ready_.
  v1::StreamingInferRequest request_ ABSL_GUARDED_BY(mutex_);
  v1::StreamingInferResponse response_ ABSL_GUARDED_BY(mutex_);
  bool write_busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool response_ready_ ABSL_GUARDED_BY(mutex_) = false;
  bool discard_ ABSL_GUARDED_BY(mutex_) = false;   // nobody receives any more
  bool read_end_ ABSL_GUARDED_BY(mutex_) = false;  // no response follows; start no operation
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);  // valid once done_
  bool accepted_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t sent_ ABSL_GUARDED_BY(mutex_) = 0;      // chunks
  int64_t answered_ ABSL_GUARDED_BY(mutex_) = 0;  // chunks
  // The time of the last response, or of the first sending after everything had been answered.
  TimePoint owed_since_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace ese
