// SPDX-License-Identifier: Apache-2.0
// One StreamingInfer call. It moves messages between gRPC, the session and the scheduler. All of
// it runs on the call's loop, so nothing below needs a lock. Channels post their results to the
// loop, which holds them up only while they copy the logits.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "ese/v1/speech.pb.h"
#include "grpcpp/grpcpp.h"
#include "scheduler/scheduler.h"
#include "server/access.h"
#include "server/checkpoint.h"
#include "server/model_catalog.h"
#include "server/rpc_call.h"
#include "server/server_metrics.h"
#include "server/stream_flow.h"
#include "server/stream_ids.h"
#include "server/stream_lifetime.h"
#include "server/stream_session.h"

namespace ese {

// What all calls of a service share. Everything here must outlive the calls.
struct StreamEnvironment {
  const ModelCatalog* catalog;
  AccessControl* access;
  ServerMetrics* metrics;
  Clock* clock;
  const CheckpointSealer* sealer;
  Duration checkpoint_max_age;
  StreamIds* stream_ids;
  LifetimeOptions lifetime;
};

class StreamCall;

// What a call tells the service that it belongs to, on the call's loop.
class StreamCallOwner {
 public:
  // The call's config has come. An error means that there is no place for its stream.
  virtual absl::Status TakePlace(StreamCall* call) = 0;
  // The call has ended. Called last.
  virtual void Remove(StreamCall* call) = 0;

 protected:
  ~StreamCallOwner() = default;
};

// Which streams a drain hands over to another server.
enum class HandOverScope {
  kResumableStreams,  // streams whose client uses checkpoints and has more content to send
  kAllStreams,
};

// Every call is in one of these phases:
//
//   kAwaitingConfig --config--> kStreaming --all frames answered-----> kFinished
//          |                     |      |                                ^   ^
//          |      drain, idle,   |      |                                |   |
//          |   too old, or ended |      |                                |   |
//          |   by the scheduler  v      |                                |   |
//          |              kHandingOver -|------checkpoint written--------+   |
//          |                 |          |                                    |
//          +--error, cancel--+----------+--> kFailing --no write in flight---+
//
// Whether a read or a write is in flight does not depend on the phase; two booleans record it. When
// the call leaves kAwaitingConfig or kStreaming, its client has LifetimeOptions::leave_time to read
// what it is owed. Then the call is cancelled, so that no slow reader holds it open.
//
// The call takes raw bytes, so that it can tell a malformed message from the end of the stream.
class StreamCall final : public CallHandler, public std::enable_shared_from_this<StreamCall> {
 public:
  // `environment` and `owner` must outlive the call.
  StreamCall(RpcCall* rpc, const StreamEnvironment* environment, Caller caller,
             StreamCallOwner* owner);

  // Ends the call with this error, unless it has already ended. Thread-safe.
  void Abort(const absl::Status& status);
  // If `scope` includes this stream: answers the frames that are already in the scheduler, sends a
  // checkpoint, and ends the call with this error. Thread-safe.
  void HandOver(const absl::Status& status, HandOverScope scope);

 private:
  enum class Phase {
    kAwaitingConfig,  // the stream does not exist yet
    kStreaming,
    kHandingOver,  // the stream answers what it can and writes a checkpoint
    kFailing,      // the stream has been released; a write may still be in flight
    kFinished,     // gRPC has the final status; all that is left is to cancel the call
  };

  // Exists in kStreaming and kHandingOver. It is released as early as possible, because it holds
  // room in the scheduler and a claim on the stream's id.
  struct ActiveStream {
    std::unique_ptr<StreamSession> session;
    StreamFlow flow;
    std::unique_ptr<Scheduler::Stream> scheduled;
    StreamIds::Claim id_claim;
    bool client_uses_checkpoints;
  };

  void OnStart() override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnTimer() override;
  void OnDone() override;
  // Runs on a channel's thread.
  void OnResult(const StreamResult& result);

  absl::Status HandleRequest();
  absl::Status HandleConfig(const v1::StreamingConfig& config);
  absl::Status HandleChunk(const std::string& chunk);
  absl::Status HandleCheckpointRequest();

  // Runs `event` and then Advance on the loop. Thread-safe.
  template <typename Event>
  void Post(Event event);

  // The transitions between phases. Nothing else changes phase_, stream_ or final_status_.
  void StartStreaming(ActiveStream stream);
  void StartHandOver(const absl::Status& status);
  void Fail(const absl::Status& status);
  // OK ends the call with the response in response_. Any other status discards it.
  void Finish(const absl::Status& status);
  void EnterEndingPhase(Phase phase, const absl::Status& status);

  // Does everything that can be done now.
  void Advance();
  void Read();
  void FeedScheduler();
  void PushFrames();
  void AddCheckpoint();
  void WriteNextResponse();
  void Write(const OutgoingResponse& response);

  CallLoop* const loop_;
  RpcCall* const rpc_;
  const StreamEnvironment& environment_;
  const Caller caller_;
  StreamCallOwner* const owner_;

  Phase phase_ = Phase::kAwaitingConfig;
  StreamLifetime lifetime_;             // used in kAwaitingConfig and kStreaming
  std::optional<ActiveStream> stream_;  // exists in kStreaming and kHandingOver
  absl::Status final_status_;           // set in kHandingOver, kFailing and kFinished

  // gRPC operations in flight, in any phase.
  bool reading_ = false;
  grpc::ByteBuffer request_;  // belongs to gRPC while reading_
  bool writing_ = false;
  grpc::ByteBuffer response_;  // belongs to gRPC while writing_
};

}  // namespace ese
