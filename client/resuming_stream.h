// SPDX-License-Identifier: Apache-2.0
// A stream that survives its calls. Where the connection breaks, or a server drains or dies, it
// goes on at another server, or at the same one when that is back: from its last checkpoint, with
// the content since sent again. The user sees every frame exactly once, in order, with the same
// bits.
//
//   ResumingClient::Connect -> FindModel -> Open(config) -> ResumingStream, used as a SpeechStream
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/answer_ledger.h"
#include "client/reconnect_policy.h"
#include "client/replay_buffer.h"
#include "client/speech_client.h"

namespace ese {

struct ResumingClientOptions {
  // Servers with the same models and the same key of checkpoints; the first that can be reached is
  // used, the others when it fails.
  std::vector<std::string> addresses = {"127.0.0.1:7700"};
  Duration timeout = std::chrono::seconds(10);  // of each, as ClientOptions::timeout
  // How often the server is asked for a checkpoint: what is sent again after a break.
  uint32_t checkpoint_every_frames = 100;
  // Content kept for that; Send waits where there is more. Must hold more than
  // checkpoint_every_frames frames.
  size_t max_kept_bytes = 4 << 20;
  ReconnectOptions reconnect;
};

class ResumingStream;

// Thread-safe.
class ResumingClient {
 public:
  // The error of SpeechClient::Connect at the first server if none can be reached.
  static absl::StatusOr<std::unique_ptr<ResumingClient>> Connect(
      const ResumingClientOptions& options);

  // As SpeechClient's, of the server that was reached.
  absl::StatusOr<v1::ListModelsResponse> ListModels() const;
  absl::StatusOr<v1::Model> FindModel(const std::string& name) const;

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

// Threads, order and errors as of SpeechStream, but that
// - an error of a call ends the stream only where ReconnectPolicy gives up;
// - Send returns as soon as the chunk is kept; what became of it is told by Receive;
// - a break is mended within Receive: whoever wants the stream to go on must receive;
// - from a server that gives no checkpoints only what fits into max_kept_bytes can be resumed.
// A thread of its own sends. Outlives its client.
class ResumingStream {
 public:
  // Cancels a call that has not ended, and waits for that.
  ~ResumingStream();

  // Waits while the content kept is at its bound.
  absl::Status Send(std::string chunk);
  absl::Status HalfClose();
  // Responses come without their checkpoints.
  absl::StatusOr<bool> Receive(v1::StreamingInferResponse* response);
  void Cancel();

  int64_t resumed() const { return resumed_; }  // calls after the first that were accepted

 private:
  friend class ResumingClient;
  using Lock = std::unique_lock<std::mutex>;

  ResumingStream(std::shared_ptr<const ResumingClient::Servers> servers, size_t first_server,
                 const ResumingClientOptions& options, const v1::StreamingConfig& config);

  // Opens a call at the policy's server that goes on from the last checkpoint.
  void OpenCall();
  // A call has ended with an error. OK: another one is open.
  absl::Status GoOn(const absl::Status& status);
  // Takes the response of a call; true: the user is to see it.
  absl::StatusOr<bool> Take(v1::StreamingInferResponse* response);
  absl::Status End(absl::Status status);
  void SendLoop();

  const std::shared_ptr<const ResumingClient::Servers> servers_;
  v1::StreamingConfig config_;  // with the last checkpoint's token

  // Of the receiving thread.
  AnswerLedger ledger_;
  ReconnectPolicy policy_;
  int64_t checkpoint_frames_ = 0;
  bool news_ = false;  // the call at hand brought some
  int64_t resumed_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  ReplayBuffer buffer_;
  std::shared_ptr<SpeechStream> call_;
  bool call_failed_ = false;  // nothing is to be sent to it any more
  bool half_close_ = false;
  bool half_close_sent_ = false;  // to the call
  bool cancelled_ = false;
  bool ended_ = false;
  absl::Status end_;  // once ended

  std::thread sender_;
};

}  // namespace ese
