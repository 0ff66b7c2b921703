// SPDX-License-Identifier: Apache-2.0
// A stream that survives the end of its calls. When the connection breaks, or the server drains or
// dies, the stream continues on another server, or on the same server once it is back. It starts
// again from its last checkpoint and sends the content since then once more. The user sees every
// frame exactly once, in order, with the same bits.
//
//   ResumingClient::Connect -> FindModel -> Open(config) -> ResumingStream, used like SpeechStream
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "client/reconnect_policy.h"
#include "client/replay_buffer.h"
#include "client/resume_cursor.h"
#include "client/speech_client.h"

namespace ese {

struct ResumingClientOptions {
  // Servers with the same models and the same checkpoint key. The first that can be reached is
  // used; the others take over when it fails.
  std::vector<std::string> addresses = {"127.0.0.1:7700"};
  Duration timeout = std::chrono::seconds(10);  // for each server; see ClientOptions::timeout
  AccessOptions access;                         // to every server
  // How often the server is asked for a checkpoint. After a break, all content since the last
  // checkpoint is sent again.
  uint32_t checkpoint_every_frames = 100;
  // The most content that is kept for sending again. While that is full, Send waits for a
  // checkpoint. Must exceed the content of checkpoint_every_frames frames.
  size_t max_kept_bytes = 4 << 20;
  ReconnectOptions reconnect;
};

class ResumingStream;

// Thread-safe.
class ResumingClient {
 public:
  // If no server can be reached, the error has the code of SpeechClient::Connect for the first one
  // and names the reasons of all.
  static absl::StatusOr<std::unique_ptr<ResumingClient>> Connect(
      const ResumingClientOptions& options);

  // Like the functions of SpeechClient, on the server that was reached.
  absl::StatusOr<v1::ListModelsResponse> ListModels() const;
  absl::StatusOr<v1::Model> FindModel(const std::string& name) const;

  // Opens a stream, which may outlive this client.
  std::unique_ptr<ResumingStream> Open(const v1::StreamingConfig& config) const;

 private:
  using Servers = std::vector<std::unique_ptr<SpeechClient>>;

  ResumingClient(const ResumingClientOptions& options, Servers servers, size_t reached)
      : options_(options),
        servers_(std::make_shared<const Servers>(std::move(servers))),
        reached_(reached) {}

  const ResumingClientOptions options_;
  const std::shared_ptr<const Servers> servers_;
  const size_t reached_;

  friend class ResumingStream;
};

// Threading, order and errors are as for SpeechStream, except that
// - the error of a call ends the stream only when ReconnectPolicy gives up;
// - Send returns as soon as the chunk is kept, and Receive reports what became of it;
// - Receive is what opens the next call after a break, so keep receiving;
// - if the server gives no checkpoints, a stream can only be resumed until it has sent more than
//   max_kept_bytes.
// Each stream sends from a thread of its own.
class ResumingStream {
 public:
  // Cancels a call that has not ended, and waits for its end.
  ~ResumingStream();

  // Waits while the kept content is at its bound.
  absl::Status Send(std::string chunk) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status HalfClose() ABSL_LOCKS_EXCLUDED(mutex_);
  // Like SpeechStream::Receive, but removes checkpoints from the responses.
  absl::StatusOr<bool> Receive(v1::StreamingInferResponse* response) ABSL_LOCKS_EXCLUDED(mutex_);
  void Cancel() ABSL_LOCKS_EXCLUDED(mutex_);

  // The number of calls after the first that were accepted. Call it on the receiving thread.
  int64_t resumed() const { return resumed_; }

 private:
  friend class ResumingClient;

  ResumingStream(std::shared_ptr<const ResumingClient::Servers> servers, size_t first_server,
                 const ResumingClientOptions& options, const v1::StreamingConfig& config);

  // Opens a call on the policy's server that continues from the last checkpoint.
  void OpenCall() ABSL_LOCKS_EXCLUDED(mutex_);
  // A call has ended with the error `status`. Returns OK once another call is open.
  absl::Status Reopen(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes a response of the current call. Returns true if the user is to see it.
  absl::StatusOr<bool> Take(v1::StreamingInferResponse* response) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the stream with `status`, unless it has ended. Returns `status`.
  absl::Status End(absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);
  void SendLoop() ABSL_LOCKS_EXCLUDED(mutex_);
  // Something can be sent in the current call.
  bool CanSend() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<const ResumingClient::Servers> servers_;

  // Used by the receiving thread only.
  ResumeCursor cursor_;
  ReconnectPolicy policy_;
  int64_t resumed_ = 0;

  Mutex mutex_;
  CondVar changed_;
  ReplayBuffer buffer_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<SpeechStream> call_ ABSL_GUARDED_BY(mutex_);
  bool call_failed_ ABSL_GUARDED_BY(mutex_) = false;  // so nothing more is sent in it
  bool half_close_ ABSL_GUARDED_BY(mutex_) = false;
  bool half_close_sent_ ABSL_GUARDED_BY(mutex_) = false;  // in the current call
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status end_ ABSL_GUARDED_BY(mutex_);  // valid once ended_

  std::thread sender_;
};

}  // namespace ese
