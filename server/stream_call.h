// SPDX-License-Identifier: Apache-2.0
// One StreamingInfer call: moves messages between gRPC, the session and the scheduler. All of it
// runs on the call's loop, so that nothing below needs a lock; results are posted there by
// channels, which they hold up no longer than a copy takes.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "ese/v1/speech.pb.h"
#include "grpcpp/grpcpp.h"
#include "scheduler/scheduler.h"
#include "server/checkpoint.h"
#include "server/model_catalog.h"
#include "server/rpc_call.h"
#include "server/server_metrics.h"
#include "server/stream_flow.h"
#include "server/stream_ids.h"
#include "server/stream_lifetime.h"
#include "server/stream_session.h"

namespace ese {

// What the calls of a service share. All outlive the calls.
struct StreamEnvironment {
  const ModelCatalog* catalog;
  ServerMetrics* metrics;
  Clock* clock;
  const CheckpointSigner* signer;
  Duration checkpoint_max_age;
  StreamIds* stream_ids;
  LifetimeOptions lifetime;
};

// Takes raw bytes, so that a message which does not parse is told apart from the end of the stream.
class StreamCall final : public CallHandler, public std::enable_shared_from_this<StreamCall> {
 public:
  // `environment` must outlive the call. `on_done` is called as the last thing.
  StreamCall(RpcCall* rpc, const StreamEnvironment* environment,
             std::function<void(StreamCall*)> on_done);

  // Ends the call with this error, unless it has ended already. Thread-safe.
  void Abort(const absl::Status& status);
  // Answers what is under way, sends a checkpoint and ends the call with this error. Unless
  // `anyway`, streams are left alone that have shown no interest in checkpoints, or whose content
  // has ended. Thread-safe.
  void HandOver(const absl::Status& status, bool anyway);

 private:
  void OnStart() override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnTimer() override;
  void OnDone() override;
  // On a channel's thread.
  void OnResult(const StreamResult& result);

  absl::Status ReadRequest();
  absl::Status OpenStream(const v1::StreamingConfig& config);
  absl::Status ReadChunk(const std::string& chunk);
  absl::Status RequestCheckpoint();

  // Runs `event` on the loop, then Advance. Thread-safe.
  template <typename Event>
  void Post(Event event);

  // Breaks the call off after the time that its client has to leave.
  void LeaveSoon();
  void Fail(const absl::Status& status);
  // Does everything that can be done now.
  void Advance();
  void Read();
  void PushFrames();
  void AddCheckpoint();
  void Write(OutgoingResponse response);
  // Frees what others could have, also while a write to a slow reader goes on.
  void FreePlace();
  // The last use of gRPC.
  void FinishWith(const absl::Status& status, bool send_last_response);

  CallLoop* const loop_;
  RpcCall* const rpc_;  // until finished_
  const StreamEnvironment& environment_;
  const std::function<void(StreamCall*)> on_done_;

  StreamLifetime lifetime_;
  bool leaving_ = false;                    // the timer breaks the call off
  grpc::ByteBuffer request_;                // while reading_
  grpc::ByteBuffer response_;               // while writing_
  std::unique_ptr<StreamSession> session_;  // from the config on
  bool reading_ = false;
  bool writing_ = false;
  std::optional<StreamFlow> flow_;             // from the config on
  std::optional<StreamIds::Claim> claim_;      // from the config to the end, as is
  std::unique_ptr<Scheduler::Stream> stream_;  // what follows
  bool resumable_ = false;                     // its client knows of checkpoints
  absl::Status hand_over_;                     // what the call ends with once it is handed over
  absl::Status error_;                         // why the call ends
  bool finished_ = false;
  absl::Status ended_with_;  // if finished_
};

}  // namespace ese
